import { type Command, Option } from "commander";
import { PitstopError } from "../../domain/errors.js";
import { Image, type ImageFile } from "../../domain/image.js";
import { configOf, connect } from "../client.js";
import { EXIT } from "../exit.js";
import { digestOfFile, digestOfUrl, keepImageFile } from "../image-files.js";
import type { Io } from "../io.js";
import { type Format, paint, structured } from "../output.js";
import { pairInto } from "../words.js";

interface AddOptions {
  kernel: string;
  initrd: string[];
  role: "maintenance" | "normal";
  arch: "x86_64" | "aarch64";
  cmdline?: string;
  label?: Record<string, string>;
  url?: string;
  json?: boolean;
}

export function imageCommands(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  const image = program.command("image").description("boot images");

  image
    .command("add")
    .description(
      "hash a kernel and its initrds and put the image into the catalogue; run it on the server's machine, or with --url",
    )
    .argument("<name>")
    .requiredOption("--kernel <file>")
    .requiredOption("--initrd <file>", "may be repeated; the order is kept", (file: string, before: string[] = []) => [
      ...before,
      file,
    ])
    .addOption(new Option("--role <role>").choices(["maintenance", "normal"]).default("maintenance"))
    .addOption(new Option("--arch <arch>").choices(["x86_64", "aarch64"]).default("x86_64"))
    .option("--cmdline <words>", "kernel arguments")
    .option("--label <key=value>", "may be repeated", pairInto)
    .option(
      "--url <base>",
      "where the same files are served (http or https); without it they are copied into PITSTOP_DATA/images",
    )
    .option("--json", "print the document as JSON")
    .action((name: string, options: AddOptions) => run(() => add(io, name, options)));

  image
    .command("verify")
    .description("read every file of an image from where it is stored and compare it with its digest")
    .argument("<name>")
    .option("--json", "print the results as JSON")
    .action((name: string, options: { json?: boolean }) =>
      run(() => verify(io, name, options.json ? "json" : undefined)),
    );
}

async function add(io: Io, name: string, options: AddOptions): Promise<number> {
  const place = async (file: string): Promise<ImageFile> => {
    if (options.url === undefined) return await keepImageFile(io, configOf(io), name, file);
    const base = options.url.replace(/\/*$/, "/");
    const fileName = encodeURIComponent(file.slice(file.lastIndexOf("/") + 1));
    return { url: `${base}${fileName}`, sha256: await digestOfFile(io, file) };
  };
  const document = {
    kind: "Image",
    name,
    labels: options.label ?? {},
    role: options.role,
    arch: options.arch,
    kernel: await place(options.kernel),
    initrds: [] as ImageFile[],
    cmdline: options.cmdline?.split(/\s+/).filter((word) => word !== "") ?? [],
  };
  for (const file of options.initrd) document.initrds.push(await place(file));
  // JSON is YAML too: the server checks it and tells of the field that is wrong.
  const { results } = await connect(io).applyYaml(JSON.stringify(document), `image ${name}`);
  if (options.json) io.out(structured(document, "json"));
  else io.out(`image ${name} ${results[0]?.result ?? ""}\n`);
  return EXIT.done;
}

async function verify(io: Io, name: string, format: Format | undefined): Promise<number> {
  const image = Image.safeParse(await connect(io).get("images", name));
  if (!image.success)
    throw new PitstopError(
      "internal",
      `Image ${name} has a form that this pitstop does not know; use the server's version.`,
    );
  const results = [];
  for (const file of [image.data.kernel, ...image.data.initrds]) {
    const actual = await digestOfUrl(configOf(io), file.url);
    const ok = actual === file.sha256;
    results.push({ url: file.url, sha256: file.sha256, actual, ok });
    if (!format) io.out(`${ok ? paint(io, "green", "ok      ") : paint(io, "red", "differs ")} ${file.url}\n`);
  }
  if (format) io.out(structured(results, format));
  const bad = results.filter(({ ok }) => !ok);
  if (bad.length === 0) return EXIT.done;
  io.err(
    `Image ${name}: ${bad[0]?.url} does not have the digest of the catalogue; put the right file there, or add the image again.\n`,
  );
  return EXIT.workFailed;
}

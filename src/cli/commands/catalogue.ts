import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { DocumentView, PitstopClient } from "../../api/client.js";
import { messageOf, PitstopError } from "../../domain/errors.js";
import { connect } from "../client.js";
import { endingStyle, sayOutcome } from "../ending.js";
import { EXIT } from "../exit.js";
import type { Io } from "../io.js";
import { ago, type Column, type Format, labelText, structured, table } from "../output.js";
import { type KindWord, kindWord } from "../words.js";

type Run = (work: () => Promise<number>) => Promise<void>;
export const formatOption = () =>
  new Option("-o, --output <format>", "print it for programs").choices(["json", "yaml"]);

export function catalogueCommands(program: Command, io: Io, run: Run): void {
  program
    .command("apply")
    .description("create or change targets, images and actions from YAML files")
    .requiredOption("-f, --file <file>", "a YAML file of documents, - for standard input; may be repeated", gather)
    .option("--dry-run", "only check the files")
    .option("--json", "print the results as JSON")
    .action((options: { file: string[]; dryRun?: boolean; json?: boolean }) => run(() => apply(io, options)));

  program
    .command("get")
    .description("list targets, images, actions or sessions, or show one")
    .argument("<kind>", "targets, images, actions or sessions")
    .argument("[name]", "of the one to show; a session by its id or its target")
    .addOption(formatOption())
    .option("-l, --select <selector>", "only those with these labels: key=value,key=value", "")
    .option("--target <name>", "sessions of this target")
    .option("--open", "sessions that have not ended")
    .action((kind: string, name: string | undefined, options: GetOptions) => run(() => get(io, kind, name, options)));

  program
    .command("delete")
    .description("delete a target, an image or an action that nothing uses")
    .argument("<kind>", "target, image or action")
    .argument("<name>")
    .action((kind: string, name: string) =>
      run(async () => {
        const collection = kindWord(kind);
        if (collection === "sessions") {
          throw new PitstopError("invalid", "A session is not deleted; end it with pitstop session abort.");
        }
        await connect(io).delete(collection, name);
        io.out(`${collection.slice(0, -1)} ${name} deleted\n`);
        return EXIT.done;
      }),
    );
}

const gather = (file: string, before: string[] = []): string[] => [...before, file];

async function apply(io: Io, options: { file: string[]; dryRun?: boolean; json?: boolean }): Promise<number> {
  const client = connect(io);
  const files = await Promise.all(
    options.file.map(async (file) => ({ file: file === "-" ? "stdin" : file, text: await textOf(io, file) })),
  );
  // A mistake in the last file must not leave the first ones applied.
  if (files.length > 1 && !options.dryRun) {
    for (const { file, text } of files) await client.applyYaml(text, file, { dryRun: true });
  }
  const results = [];
  for (const { file, text } of files) {
    const applied = await client.applyYaml(text, file, { dryRun: options.dryRun === true });
    results.push(...applied.results);
    if (options.json) continue;
    for (const { kind, name, result } of applied.results) io.out(`${kind.toLowerCase()} ${name} ${result}\n`);
  }
  if (options.json) io.out(structured(results, "json"));
  return EXIT.done;
}

export async function textOf(io: Io, file: string): Promise<string> {
  if (file === "-") return await io.stdin();
  try {
    return readFileSync(resolve(io.cwd, file), "utf8");
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "it does not exist" : messageOf(error);
    throw new PitstopError("invalid", `The file ${file} cannot be read: ${why}; correct the path.`);
  }
}

interface GetOptions {
  output?: Format;
  select: string;
  target?: string;
  open?: boolean;
}

async function get(io: Io, word: string, name: string | undefined, options: GetOptions): Promise<number> {
  const kind = kindWord(word);
  const client = connect(io);
  if (kind === "sessions") return await getSessions(io, client, name, options);
  if (name === undefined) {
    const { items } = await client.list(kind, options.select);
    if (options.output) io.out(structured(items, options.output));
    else io.out(items.length === 0 ? `no ${kind}\n` : table(io, COLUMNS[kind], items));
    return EXIT.done;
  }
  // One document is best read as it was written.
  io.out(structured(await client.get(kind, name), options.output ?? "yaml"));
  return EXIT.done;
}

async function getSessions(
  io: Io,
  client: PitstopClient,
  name: string | undefined,
  options: GetOptions,
): Promise<number> {
  if (name !== undefined) {
    io.out(structured(await client.session(name), options.output ?? "yaml"));
    return EXIT.done;
  }
  const filter = { ...(options.target ? { target: options.target } : {}), ...(options.open ? { open: true } : {}) };
  const { items } = await client.sessions(filter);
  if (options.output) io.out(structured(items, options.output));
  else io.out(items.length === 0 ? "no sessions\n" : table(io, sessionColumns, items));
  return EXIT.done;
}

type Summary = Awaited<ReturnType<PitstopClient["sessions"]>>["items"][number];

export const sessionColumns: Column<Summary>[] = [
  { title: "SESSION", cell: (s) => s.session },
  { title: "TARGET", cell: (s) => s.target },
  { title: "ACTION", cell: (s) => s.action ?? "-" },
  { title: "PHASE", cell: (s) => s.phase, style: endingStyle },
  { title: "OUTCOME", cell: (s) => (s.outcome ? sayOutcome(s.outcome) : "-") },
  { title: "STARTED", cell: (s) => ago(s.startedAt) },
  { title: "BY", cell: (s) => s.requestedBy },
];

const name: Column<DocumentView> = { title: "NAME", cell: (d) => d.name };
const labels: Column<DocumentView> = { title: "LABELS", cell: (d) => labelText(d.labels) };
/** A field of a document that the server checked; `path` is its keys. */
const field = (title: string, ...path: string[]): Column<DocumentView> => ({
  title,
  cell: (document) => {
    const value = path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
    if (Array.isArray(value)) {
      const words = value.length > 0 && value.every((item) => typeof item === "string");
      return words ? value.join(",") : String(value.length);
    }
    return value === undefined || value === "" ? "-" : String(value);
  },
});

const COLUMNS: Record<Exclude<KindWord, "sessions">, Column<DocumentView>[]> = {
  targets: [name, field("SITE", "site"), field("FIRMWARE", "boot", "firmware"), field("VIA", "boot", "via"), labels],
  images: [
    name,
    field("ROLE", "role"),
    field("ARCH", "arch"),
    {
      title: "KERNEL",
      cell: (d) => String((d.kernel as { sha256?: unknown } | undefined)?.sha256 ?? "-").slice(0, 12),
    },
    labels,
  ],
  actions: [
    name,
    field("MODE", "mode"),
    field("IMAGE", "image"),
    field("TASKS", "tasks"),
    field("DESTRUCTIVE", "destructive"),
    field("DESCRIPTION", "description"),
  ],
};

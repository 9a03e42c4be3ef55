import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig, TOKEN } from "../api/running.js";
import { action, target } from "../catalogue/samples.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A copy of the command as `npm run build` makes it; below the root, so that it finds its packages. */
function buildCommand(): string {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(root, ".cache", "test-cli-"));
  cpSync(join(root, "bin"), join(folder, "bin"), { recursive: true });
  for (const room of ["cli", "api", "domain", "catalogue"]) {
    for (const name of readdirSync(join(root, "src", room), { recursive: true, encoding: "utf8" })) {
      if (name.endsWith(".ts")) transpile(join("src", room, name), folder);
    }
  }
  for (const file of ["config", "data-folder", "processes"]) transpile(`src/${file}.ts`, folder);
  return folder;
}

function transpile(file: string, folder: string): void {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const { outputText } = ts.transpileModule(readFileSync(join(root, file), "utf8"), { compilerOptions });
  const out = join(folder, "dist", file.replace(/\.ts$/, ".js"));
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, outputText);
}

describe("bin/pitstop.js", () => {
  let rig: Rig;
  let built: string;
  const cwd = mkdtempSync(join(tmpdir(), "pitstop-spawned-"));
  beforeAll(async () => {
    built = buildCommand();
    rig = await startRig();
    await rig.catalogue.apply(target("t1", 1));
    await rig.catalogue.apply(action("look"));
  });
  afterAll(async () => {
    await rig.stop();
    rmSync(built, { recursive: true, force: true });
    rmSync(cwd, { recursive: true, force: true });
  });

  function start(argv: string[], bin = join(built, "bin/pitstop.js")) {
    const env = { PATH: process.env.PATH, PITSTOP_URL: rig.api.url, PITSTOP_TOKEN: TOKEN };
    const child = spawn(process.execPath, [bin, ...argv], { env, cwd });
    const said = { exit: null as number | null, out: "", err: "" };
    child.stdout.on("data", (chunk) => {
      said.out += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      said.err += String(chunk);
    });
    const ended = new Promise<typeof said>((resolve) => {
      child.once("close", (code) => resolve({ ...said, exit: code }));
    });
    return { child, said, ended };
  }

  it("prints, and ends when it is done", async () => {
    expect(await start(["get", "targets"]).ended).toEqual({
      exit: 0,
      out: "NAME  SITE     FIRMWARE  VIA  LABELS\nt1    default  uefi      pxe  rack=r1\n",
      err: "",
    });
  });

  it("reads standard input", async () => {
    const { child, ended } = start(["apply", "-f", "-"]);
    child.stdin.end("kind: Action\nname: from-stdin\nmode: passive\n");
    expect(await ended).toEqual({ exit: 0, out: "action from-stdin created\n", err: "" });
  });

  it("ends with the exit code and one sentence", async () => {
    expect(await start(["run", "nowhere", "-a", "look"]).ended).toEqual({
      exit: 2,
      out: "",
      err: 'There is no target nowhere; "pitstop get targets" lists them.\n',
    });
  });

  it("stops waiting at Ctrl-C, and says that the session goes on", async () => {
    const { child, said, ended } = start(["run", "t1", "-a", "look", "--wait"]);
    await expect.poll(() => said.out, { timeout: 10_000 }).toContain("t1 session");
    child.kill("SIGINT");
    expect(await ended).toMatchObject({
      exit: 130,
      err: "Stopped waiting; the session goes on: pitstop session abort t1 ends it.\n",
    });
  });

  it("ends after its last word, whatever it began and gave up", async () => {
    mkdirSync(join(built, "dist/workers"), { recursive: true });
    const serve = `import { PitstopError } from "../src/domain/errors.js";
      export async function serve() { setInterval(() => {}, 1000); throw new PitstopError("refused", "No."); }`;
    writeFileSync(join(built, "dist/workers/serve.js"), serve);
    expect(await start(["serve"]).ended).toEqual({ exit: 2, out: "", err: "No.\n" });
  });

  it("says how to build what is not built", async () => {
    const bare = join(built, "bare/bin");
    mkdirSync(bare, { recursive: true });
    cpSync(join(root, "bin/pitstop.js"), join(bare, "pitstop.js"));
    expect(await start(["get", "targets"], join(bare, "pitstop.js")).ended).toEqual({
      exit: 2,
      out: "",
      err: "Pitstop is not built; run npm run build.\n",
    });
  });
});

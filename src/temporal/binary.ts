import { constants } from "node:fs";
import { access, mkdir, readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { bareEnvironment } from "../domain/environment.js";
import { PitstopError } from "../domain/errors.js";

const CLI_MODULE = "github.com/temporalio/cli/cmd/temporal@v1.5.1";

/**
 * The `temporal` program: on PATH; else one that was cached; else the SDK's own download; else built with Go.
 * `say` gets one line for each step that takes time.
 */
export async function findTemporal(cacheDir: string, say: (line: string) => void): Promise<string> {
  const dir = join(cacheDir, "temporal");
  await mkdir(dir, { recursive: true });
  const onPath = await firstExecutable(
    (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "temporal")),
  );
  if (onPath) return onPath;
  const cached = await cachedProgram(dir);
  if (cached) return cached;
  say("Temporal server: asking the SDK to download it (about 50 MB)");
  if (await download(dir)) {
    const found = await cachedProgram(dir);
    if (found) return found;
  }
  say(`Temporal server: the download cannot be had here; building it with Go (${CLI_MODULE}, about 3 minutes once)`);
  return await build(dir);
}

async function firstExecutable(paths: string[]): Promise<string | null> {
  for (const path of paths) {
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  return null;
}

async function cachedProgram(dir: string): Promise<string | null> {
  const names = (await readdir(dir)).filter((name) => name === "temporal" || name.startsWith("temporal-cli-"));
  return await firstExecutable(names.map((name) => join(dir, name)));
}

/** Lets the SDK's test environment fetch its program into our cache; it starts a server, which is stopped at once. */
async function download(dir: string): Promise<boolean> {
  const script = `
    const { TestWorkflowEnvironment } = await import("@temporalio/testing");
    const env = await TestWorkflowEnvironment.createLocal({
      server: { executable: { type: "cached-download", downloadDir: process.argv[1] } },
    });
    await env.teardown();`;
  // In a process of its own, with a bound: a network that swallows packets must not hold the start.
  const done = await execa(process.execPath, ["--input-type=module", "-e", script, dir], {
    reject: false,
    timeout: 90_000,
    stdio: "ignore",
    extendEnv: false,
    env: bareEnvironment(),
  });
  return done.exitCode === 0;
}

async function build(dir: string): Promise<string> {
  const built = await execa("go", ["install", CLI_MODULE], {
    reject: false,
    extendEnv: false,
    env: bareEnvironment({ GOBIN: dir, GOFLAGS: "-mod=mod" }),
    timeout: 20 * 60_000,
    all: true,
  });
  if (built.exitCode === 0) return join(dir, "temporal");
  const why =
    built.code === "ENOENT" ? "Go is not installed" : (built.all ?? "").split("\n").slice(-2).join(" ").trim();
  throw new PitstopError(
    "unreachable",
    `There is no Temporal server: none is configured, "temporal" is not on PATH, its download failed, and building it failed (${why}). Set TEMPORAL_ADDRESS, or put the temporal CLI on PATH.`,
  );
}

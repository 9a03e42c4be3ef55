import { constants } from "node:fs";
import { access, mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { bareEnvironment } from "../domain/environment.js";
import { PitstopError } from "../domain/errors.js";
import { BUILT_MODULE, goBuild } from "./go-build.js";
import { progressOf, type Say } from "./say.js";

/** A network that swallows packets must not hold the start. */
const DOWNLOAD_MS = 90_000;
/** The program answers within 0.3 s; the bound is for a busy disk that reads 200 MB. */
const VERSION_MS = 60_000;
/** Longer than a download and a build may take: whoever made an older folder is dead. */
const ABANDONED_MS = 2 * 3_600_000;
const LOOK_MS = 2_000;
const SCRATCH = ".making-";

/** The `temporal` program: on PATH; else one that was cached; else the SDK's own download; else built with Go. */
export async function findTemporal(cacheDir: string, say: Say, signal?: AbortSignal): Promise<string> {
  const onPath = await firstExecutable(
    (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "temporal")),
  );
  if (onPath) return onPath;
  const make = async (scratch: string, either: AbortSignal) => {
    say("Temporal server: asking the SDK to download it (about 50 MB)");
    const downloaded = await download(scratch, either);
    either.throwIfAborted();
    return downloaded ?? (await build(scratch, say, either));
  };
  return await ensureCached(join(cacheDir, "temporal"), make, signal);
}

/** Makes the program in an empty folder and gives its path there. */
export type Make = (scratch: string, signal: AbortSignal) => Promise<string>;

/**
 * Ensures that the folder has the program. It is made in a folder of this start alone, tried, and renamed, so that nobody
 * ever finds a half of it. Several starts at once each make their own, until the first one is done.
 */
export async function ensureCached(dir: string, make: Make, signal?: AbortSignal): Promise<string> {
  await mkdir(dir, { recursive: true });
  const cached = await cachedProgram(dir);
  if (cached) return cached;
  await removeAbandoned(dir);
  const scratch = await mkdtemp(join(dir, SCRATCH));
  const enough = new AbortController();
  const either = AbortSignal.any([enough.signal, ...(signal ? [signal] : [])]);
  const looking = untilCached(dir, enough.signal);
  const making = make(scratch, either).then((program) => keep(program, dir));
  try {
    return await Promise.race([making, looking]);
  } finally {
    enough.abort(new Error("another start made the program"));
    await Promise.allSettled([making, looking]);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Gives a whole program its name. */
async function keep(program: string, dir: string): Promise<string> {
  await runs(program);
  // On disk before it has its name: a power cut must not leave a name without its bytes.
  const file = await open(program, "r");
  await file.sync().finally(() => file.close());
  const kept = join(dir, "temporal");
  await rename(program, kept);
  return kept;
}

async function build(scratch: string, say: Say, signal: AbortSignal): Promise<string> {
  say(`Temporal server: no download to be had; building ${BUILT_MODULE} with Go, once, in 3 to 5 minutes`);
  const began = Date.now();
  const progress = progressOf(say);
  try {
    const tell = (text: string) => progress(`Temporal server: ${text}, ${sayTime(Date.now() - began)}`);
    const program = await goBuild({ scratch, signal, progress: tell });
    progress(null);
    say(`Temporal server: built in ${sayTime(Date.now() - began)}`);
    return program;
  } finally {
    progress(null);
  }
}

const sayTime = (ms: number): string => {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
};

/** A program that a full disk or a defective memory has cut does not get past this. */
async function runs(program: string): Promise<void> {
  const tried = await execa(program, ["--version"], {
    ...{ reject: false, timeout: VERSION_MS, extendEnv: false, env: bareEnvironment(), stdin: "ignore" as const },
  });
  if (tried.exitCode === 0) return;
  const why = tried.signal ?? tried.code ?? `exit code ${tried.exitCode}`;
  throw new PitstopError(
    "unreachable",
    `The Temporal server that was made does not run (${why}); start again, put the temporal CLI on PATH, or set TEMPORAL_ADDRESS.`,
  );
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

/** Ours, or one that an SDK downloaded whole. */
async function cachedProgram(dir: string): Promise<string | null> {
  const names = await readdir(dir);
  const whole = names.filter((name) => name === "temporal" || /^temporal-cli-.*(?<!\.downloading)$/.test(name));
  return await firstExecutable(whole.map((name) => join(dir, name)));
}

async function untilCached(dir: string, signal: AbortSignal): Promise<string> {
  for (;;) {
    await sleep(LOOK_MS, undefined, { signal });
    const found = await cachedProgram(dir);
    if (found) return found;
  }
}

/** What a start that was killed left behind. */
async function removeAbandoned(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const made = name.startsWith(SCRATCH) ? await stat(path).catch(() => null) : null;
    if (made && Date.now() - made.mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}

/** Lets the SDK's test environment fetch its program into the folder; it starts a server, which is stopped at once. */
async function download(dir: string, signal: AbortSignal): Promise<string | null> {
  const script = `
    const { TestWorkflowEnvironment } = await import("@temporalio/testing");
    const env = await TestWorkflowEnvironment.createLocal({
      server: { executable: { type: "cached-download", downloadDir: process.argv[1] } },
    });
    await env.teardown();`;
  const done = await execa(process.execPath, ["--input-type=module", "-e", script, dir], {
    reject: false,
    timeout: DOWNLOAD_MS,
    stdio: "ignore",
    extendEnv: false,
    env: bareEnvironment(),
    cancelSignal: signal,
  });
  return done.exitCode === 0 ? await cachedProgram(dir) : null;
}

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setInterval as every } from "node:timers/promises";
import { execa } from "execa";
import { bareEnvironment } from "../domain/environment.js";
import { PitstopError } from "../domain/errors.js";

/** The last release that `go install` can build: later ones have a replace directive. */
const VERSION = "v1.5.1";
const MODULE = "github.com/temporalio/cli";
const COMMAND = "./cmd/temporal";
/** What the go.mod of that release asks for. */
export const GO_NEEDED = "1.25";
export const BUILT_MODULE = `${MODULE}/cmd/temporal@${VERSION}`;

/** Two idle cores need 3 to 5 minutes; at a load of 12 they needed 17. */
const BUILD_MS = 60 * 60_000;
/** Go ends its compilers and removes its work folder within a second of an interrupt. */
const KILL_AFTER_MS = 5_000;
const TICK_MS = 1_000;
const KEPT_OUTPUT_BYTES = 64 * 1024;

export interface GoBuild {
  /** An empty folder of this build alone. The program and Go's work folder lie in it. */
  scratch: string;
  /** Gets how far the build is, at least once a second. */
  progress: (text: string) => void;
  /** Ends the build; it then throws the signal's reason. */
  signal?: AbortSignal;
  boundMs?: number;
}

/** Builds the `temporal` program with Go and returns its path below `scratch`. A failure says why, with the remedy. */
export async function goBuild(build: GoBuild): Promise<string> {
  const began = Date.now();
  const boundMs = build.boundMs ?? BUILD_MS;
  const work = join(build.scratch, "work");
  await mkdir(work, { recursive: true });
  // A go.mod of a folder above must not take part, nor a workspace, nor flags that a user has set for other modules.
  const env = { GOWORK: "off", GOTMPDIR: work, GOBIN: build.scratch };
  const step: Step = (args, more) => go(args, { ...more, build, env: { ...env, ...more.env }, boundMs, began });

  const version = (await step(["env", "GOVERSION"], { cwd: build.scratch })).out.trim();
  const explain = { version };

  build.progress("asking for the source");
  const source = await step(["mod", "download", "-json", `${MODULE}@${VERSION}`], { cwd: build.scratch, explain });
  const { Dir: folder } = JSON.parse(source.out) as { Dir: string };

  let modules = 0;
  const listed = await step(["list", "-deps", COMMAND], {
    cwd: folder,
    explain,
    env: { GOFLAGS: "-mod=readonly" },
    line: (line) => {
      if (line.startsWith("go: downloading ")) modules++;
    },
    now: () => (modules === 0 ? "counting packages" : `downloaded ${count(modules, "module")}`),
  });
  const packages = new Set(listed.out.trim().split("\n"));
  // The compiler itself knows what is in it: nothing is compiled.
  packages.delete("unsafe");

  const compiled = new Set<string>();
  await step(["install", "-v", BUILT_MODULE], {
    cwd: build.scratch,
    explain,
    env: { GOFLAGS: "-mod=mod" },
    line: (line) => {
      if (packages.has(line)) compiled.add(line);
    },
    now: () => sayCompiled(compiled.size, packages.size),
  });
  return join(build.scratch, "temporal");
}

/** Go names only what it compiles: with a warm cache it compiles fewer packages than there are. */
function sayCompiled(compiled: number, of: number): string {
  const all = of.toLocaleString("en");
  if (compiled >= of) return `compiled all ${all} packages; linking the program`;
  return `compiled ${compiled.toLocaleString("en")} of ${all} packages (${Math.floor((100 * compiled) / of)}%)`;
}

const count = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

type Step = (args: string[], more: StepOptions) => Promise<{ out: string }>;

interface StepOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  /** What is known of Go by now, for the sentence of a failure. */
  explain?: { version: string };
  /** Gets each line that Go writes to standard error. */
  line?: (line: string) => void;
  /** How far it is. */
  now?: () => string;
}

interface Call extends StepOptions {
  build: GoBuild;
  boundMs: number;
  began: number;
}

/** One call of Go. Its progress is told each second, because a linker says nothing for long. */
async function go(args: string[], call: Call): Promise<{ out: string }> {
  const { build, now } = call;
  let said = "";
  const child = execa("go", args, {
    cwd: call.cwd,
    reject: false,
    extendEnv: false,
    env: bareEnvironment(call.env),
    stdin: "ignore",
    stderr: { transform: keepLines, objectMode: false },
    buffer: { stdout: true, stderr: false },
    timeout: Math.max(1, call.began + call.boundMs - Date.now()),
    killSignal: "SIGINT",
    forceKillAfterDelay: KILL_AFTER_MS,
    ...(build.signal ? { cancelSignal: build.signal } : {}),
  });
  function* keepLines(line: unknown): Generator<string> {
    const text = String(line);
    said = `${said}${text}\n`.slice(-KEPT_OUTPUT_BYTES);
    call.line?.(text);
    yield text;
  }
  const ticking = new AbortController();
  const ticks = tick(() => now && build.progress(now()), ticking.signal);
  try {
    const done = await child;
    build.signal?.throwIfAborted();
    if (done.exitCode === 0) return { out: String(done.stdout ?? "") };
    throw notBuilt({
      missing: done.code === "ENOENT",
      timedOutMs: done.timedOut ? call.boundMs : null,
      signal: done.signal ?? null,
      said,
      version: call.explain?.version ?? null,
    });
  } finally {
    ticking.abort();
    await ticks;
  }
}

async function tick(show: () => void, signal: AbortSignal): Promise<void> {
  try {
    for await (const _ of every(TICK_MS, undefined, { signal })) show();
  } catch {
    // The step has ended.
  }
}

export interface FailedBuild {
  missing: boolean;
  timedOutMs: number | null;
  signal: string | null;
  said: string;
  version: string | null;
}

const NEEDS = `Go ${GO_NEEDED} or later`;

/** What Go says when it fails, why that is, and what helps. The first that fits is told. */
const CAUSES: { seen: RegExp; why: (failed: FailedBuild) => string; remedy: string }[] = [
  {
    seen: /no space left on device|disk quota exceeded/i,
    why: () => "the disk is full",
    remedy: "free 4 GB where PITSTOP_CACHE and Go's caches (go env GOCACHE GOMODCACHE) are",
  },
  {
    seen: /signal: killed|out of memory|cannot allocate memory/i,
    why: () => "a compiler was killed, as happens where memory runs out",
    remedy: "give it 3 GB of memory, or set GOMAXPROCS=1",
  },
  {
    seen: /requires go >= ?\d|invalid go version|module requires Go|toolchain not available|unknown directive: toolchain/i,
    why: ({ version }) => `${version ? `Go ${version.replace(/^go/, "")}` : "this Go"} is too old`,
    remedy: `install ${NEEDS}`,
  },
  {
    seen: /SECURITY ERROR|checksum mismatch/,
    why: () => "a module is not the one that its checksum names",
    remedy: "clear Go's module cache (go clean -modcache), and mistrust the module proxy",
  },
  {
    seen: /module lookup disabled by GOPROXY=off|dial tcp|no such host|connection (refused|reset)|i\/o timeout|TLS handshake|proxyconnect|x509:|unexpected EOF|network is unreachable|: (40[34]|407|410|5\d\d) [A-Z]|server response:/,
    why: ({ said }) => `Go cannot reach a module proxy (${lastWords(said)})`,
    remedy: "name one that can be reached in GOPROXY",
  },
  {
    seen: /permission denied|read-only file system/i,
    why: ({ said }) => `Go may not write to its caches (${lastWords(said)})`,
    remedy: "name folders that it may write to in GOCACHE and GOMODCACHE",
  },
];

/** The failure in one sentence. */
export function notBuilt(failed: FailedBuild): PitstopError {
  const { why, remedy } = causeOf(failed);
  return new PitstopError(
    "unreachable",
    `The Temporal server could not be built: ${why}; ${remedy}, put the temporal CLI on PATH, or set TEMPORAL_ADDRESS.`,
  );
}

function causeOf(failed: FailedBuild): { why: string; remedy: string } {
  if (failed.missing) return { why: "Go is not installed", remedy: `install ${NEEDS}` };
  if (failed.timedOutMs !== null) {
    const minutes = Math.max(1, Math.round(failed.timedOutMs / 60_000));
    return {
      why: `Go had not finished after ${count(minutes, "minute")}`,
      remedy: "start again, which goes on where it was",
    };
  }
  if (failed.signal !== null) {
    return { why: `Go was killed by ${failed.signal}`, remedy: "start again, which goes on where it was" };
  }
  const cause = CAUSES.find(({ seen }) => seen.test(failed.said));
  if (cause) return { why: cause.why(failed), remedy: cause.remedy };
  return { why: `Go failed (${lastWords(failed.said)})`, remedy: "mend that" };
}

/** The last line that says something, without the names of packages before it. */
function lastWords(said: string): string {
  const lines = said.split("\n").map((line) => line.trim().replace(/^go: /, ""));
  return (lines.filter((line) => / /.test(line) && !line.startsWith("downloading ")).at(-1) ?? "it said nothing")
    .slice(-300)
    .replace(/[.;]$/, "");
}

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureCached, type Make } from "../../src/temporal/binary.js";
import { goBuild, notBuilt } from "../../src/temporal/go-build.js";
import { progressOf } from "../../src/temporal/say.js";

const PACKAGES = ["errors", "github.com/a/one", "github.com/a/two", "unsafe", "github.com/temporalio/cli/cmd/temporal"];
const COMPILED = PACKAGES.filter((name) => name !== "unsafe").map((name) => `echo ${name} >&2`);
/** Has the program that was asked for; `--version` ends with 0. */
const INSTALLED = 'printf "#!/bin/sh\\nexit 0\\n" >"$GOBIN/temporal"; chmod +x "$GOBIN/temporal"';

let folder: string;
let cache: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-go-build-"));
  cache = join(folder, "cache");
  mkdirSync(join(folder, "bin"));
  mkdirSync(join(folder, "source"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Puts a `go` on PATH whose `install` runs these lines of shell. */
function fakeGo(install: string[], list = PACKAGES): void {
  const script = [
    "#!/bin/sh",
    `echo "$*" >>${join(folder, "calls")}`,
    'case "$1" in',
    "env) echo go1.24.2 ;;",
    `mod) echo '{"Dir": "${join(folder, "source")}"}' ;;`,
    `list) echo "go: downloading github.com/a v1.0.0" >&2; printf '%s\\n' ${list.join(" ")} ;;`,
    `install) ${install.join("\n")}`,
    "  ;;",
    "esac",
  ].join("\n");
  writeFileSync(join(folder, "bin", "go"), `${script}\n`);
  chmodSync(join(folder, "bin", "go"), 0o755);
  vi.stubEnv("PATH", `${join(folder, "bin")}:/usr/bin:/bin`);
}

const calls = (): string[] => readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
const made = (more: { boundMs?: number; progress?: (text: string) => void } = {}): Make => {
  return (scratch, signal) => goBuild({ scratch, signal, progress: () => undefined, ...more });
};

describe("the Go build of the Temporal server", () => {
  it("counts the packages as they are compiled, of those that there are", async () => {
    // Go waits until somebody has seen how far it is.
    const until = (name: string) => `until [ -e ${join(folder, name)} ]; do sleep 0.1; done`;
    fakeGo([...COMPILED.slice(0, 2), until("half"), ...COMPILED.slice(2), until("all"), INSTALLED]);
    const told: string[] = [];
    const progress = (text: string) => {
      told.push(text);
      if (text.startsWith("compiled 2 of")) writeFileSync(join(folder, "half"), "");
      if (text.startsWith("compiled all")) writeFileSync(join(folder, "all"), "");
    };
    const program = await ensureCached(cache, made({ progress }));
    expect(program).toBe(join(cache, "temporal"));
    expect(told).toContain("compiled 2 of 4 packages (50%)");
    expect(told).toContain("compiled all 4 packages; linking the program");
    expect(calls().at(-1)).toBe("install -v github.com/temporalio/cli/cmd/temporal@v1.5.1");
    expect(readdirSync(cache)).toEqual(["temporal"]);
  });

  it.each([
    ["no room", "write /x/b001/_pkg_.a: no space left on device", "the disk is full; free 4 GB"],
    ["a compiler that the kernel ended", "go.temporal.io/api: compile: signal: killed", "a compiler was killed"],
    [
      "an old Go",
      "go: cli@v1.5.1 requires go >= 1.25.0 (running go 1.24.2; GOTOOLCHAIN=local)",
      "Go 1.24.2 is too old; install Go 1.25 or later",
    ],
    [
      "a Go from before toolchains",
      "go.mod:3: invalid go version '1.25.0': must match format 1.23",
      "Go 1.24.2 is too old; install Go 1.25 or later",
    ],
    [
      "a proxy that is off",
      "go: module lookup disabled by GOPROXY=off",
      "Go cannot reach a module proxy (module lookup disabled by GOPROXY=off); name one that can be reached in GOPROXY",
    ],
    [
      "a proxy that is not there",
      'go: Get "http://127.0.0.1:9/a.info": dial tcp 127.0.0.1:9: connect: connection refused',
      "Go cannot reach a module proxy (",
    ],
    [
      "a cache of somebody else",
      "go: mkdir /nowhere: permission denied",
      "Go may not write to its caches (mkdir /nowhere: permission denied)",
    ],
    [
      "another module than meant",
      "verifying github.com/a@v1.0.0: checksum mismatch",
      "a module is not the one that its checksum names",
    ],
    ["anything else", "cannot frob the knob", "Go failed (cannot frob the knob); mend that"],
  ])("that fails for %s says why, with the remedy, and leaves nothing", async (_what, said, sentence) => {
    fakeGo([`echo "${said.replaceAll('"', '\\"')}" >&2`, `printf half >"$GOBIN/temporal"`, "exit 1"]);
    const failure = await ensureCached(cache, made()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "unreachable" });
    const { message } = failure as Error;
    expect(message).toContain(`The Temporal server could not be built: ${sentence}`);
    expect(message).toMatch(/, put the temporal CLI on PATH, or set TEMPORAL_ADDRESS\.$/);
    expect(message).not.toContain("\n");
    expect(readdirSync(cache)).toEqual([]);
  });

  it("without Go says which Go to install", async () => {
    vi.stubEnv("PATH", folder);
    await expect(ensureCached(cache, made())).rejects.toThrow(
      "The Temporal server could not be built: Go is not installed; install Go 1.25 or later, put the temporal CLI on PATH, or set TEMPORAL_ADDRESS.",
    );
  });

  it("that takes too long is ended, and says so", async () => {
    fakeGo(["exec sleep 60"]);
    await expect(ensureCached(cache, made({ boundMs: 1_500 }))).rejects.toThrow(
      "Go had not finished after 1 minute; start again, which goes on where it was",
    );
  });

  it("that is killed names the signal", async () => {
    fakeGo(["kill -KILL $$"]);
    await expect(ensureCached(cache, made())).rejects.toThrow("Go was killed by SIGKILL; start again");
  });

  it("that a stop ends leaves neither Go nor a half", async () => {
    fakeGo([`echo $$ >${join(folder, "pid")}`, "exec sleep 60"]);
    const stop = new AbortController();
    const making = ensureCached(cache, made(), stop.signal);
    await expect.poll(() => existsSync(join(folder, "pid")), { timeout: 10_000 }).toBe(true);
    stop.abort(new Error("stopped by SIGINT"));
    await expect(making).rejects.toThrow("stopped by SIGINT");
    const pid = readFileSync(join(folder, "pid"), "utf8").trim();
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    expect(readdirSync(cache)).toEqual([]);
  });

  it("tells a long failure in one sentence of bounded length", () => {
    const said = `${"x ".repeat(10_000)}\n`;
    const failed = { missing: false, timedOutMs: null, signal: null, said, version: null };
    expect(notBuilt(failed).message.length).toBeLessThan(600);
  });
});

describe("the cached program", () => {
  it("is made by two starts at once without disturbing each other; the second takes what the first made", async () => {
    const order: string[] = [];
    const maker =
      (name: string, ms: number): Make =>
      async (scratch, signal) => {
        writeFileSync(join(scratch, "temporal"), `#!/bin/sh\necho ${name}\n`);
        await new Promise((resolve) => {
          setTimeout(resolve, ms);
          signal.addEventListener("abort", resolve);
        });
        order.push(`${name} ${signal.aborted ? "gave up" : "made it"}`);
        signal.throwIfAborted();
        chmodSync(join(scratch, "temporal"), 0o755);
        return join(scratch, "temporal");
      };
    const both = await Promise.all([
      ensureCached(cache, maker("slow", 60_000)),
      ensureCached(cache, maker("quick", 300)),
    ]);
    expect(both).toEqual([join(cache, "temporal"), join(cache, "temporal")]);
    expect(order).toEqual(["quick made it", "slow gave up"]);
    expect(readFileSync(join(cache, "temporal"), "utf8")).toContain("quick");
    expect(readdirSync(cache)).toEqual(["temporal"]);
  });

  it("is not one that does not run", async () => {
    const cut: Make = async (scratch) => {
      writeFileSync(join(scratch, "temporal"), "\x7fELF", { mode: 0o755 });
      return join(scratch, "temporal");
    };
    await expect(ensureCached(cache, cut)).rejects.toThrow("The Temporal server that was made does not run (");
    expect(readdirSync(cache)).toEqual([]);
  });

  it("is not half a download that an SDK left, nor what a killed start left, which is removed", async () => {
    mkdirSync(join(cache, ".making-old"), { recursive: true });
    writeFileSync(join(cache, ".making-old", "temporal"), "half", { mode: 0o755 });
    utimesSync(join(cache, ".making-old"), 0, 0);
    writeFileSync(join(cache, "temporal-cli-1.5.0.downloading"), "half", { mode: 0o755 });
    fakeGo([INSTALLED]);
    expect(await ensureCached(cache, made())).toBe(join(cache, "temporal"));
    expect(readdirSync(cache).sort()).toEqual(["temporal", "temporal-cli-1.5.0.downloading"]);
  });
});

describe("the progress of a step", () => {
  it("is a line from time to time where it cannot be shown in place", () => {
    vi.useFakeTimers();
    try {
      const lines: string[] = [];
      const progress = progressOf((line) => lines.push(line));
      for (let second = 1; second <= 40; second++) {
        vi.advanceTimersByTime(1_000);
        progress(`after ${second} s`);
      }
      progress(null);
      expect(lines).toEqual(["after 15 s", "after 30 s"]);
    } finally {
      vi.useRealTimers();
    }
  });
});

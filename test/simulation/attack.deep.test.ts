import { execFile } from "node:child_process";
import { describe, expect, it, vi } from "vitest";
import { simulate, told } from "./runner.js";
import { speaker } from "./speaker.js";

const LIMIT_MS = 240_000;

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

/** A program of this repository, as a user starts it; what is installed is taken as it is. */
function run(...args: string[]): Promise<Run> {
  const env = { ...process.env, PITSTOP_NO_INSTALL: "1" };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: LIMIT_MS }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr });
    });
  });
}
const attack = (...args: string[]) => run("scripts/attack.mjs", ...args);

describe("npm run attack", () => {
  it("plays its seeds in virtual time, says what was met, and ends with 0", { timeout: LIMIT_MS }, async () => {
    const { code, stdout, stderr } = await attack("--depth", "model", "--seed", "1", "--count", "4", "--hours", "0.1");
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n")).toEqual([
      expect.stringMatching(/^seeds 1 to 4: 0 broken so far of 4 in \d+\.\d minutes$/),
      expect.stringMatching(/^4 seeds in virtual time, \d+\.\d\/s: 0 broke a promise \(none\)$/),
      "model: no promise was broken",
    ]);
    expect(code).toBe(0);
  });

  it("plays one seed again as often as it is asked to, and finds one story", { timeout: LIMIT_MS }, async () => {
    const { code, stdout } = await attack("--depth", "model", "--seed", "3", "--only", "--times", "2", "--story");
    expect(stdout).toContain("the adversary has stopped");
    expect(stdout.match(/^seed 3: 0 broken so far/gm)).toHaveLength(2);
    expect(stdout).not.toContain("different stories");
    expect(code).toBe(0);
  });

  it("says what is wrong with its arguments, and which there are, and ends with 2", { timeout: LIMIT_MS }, async () => {
    const wrong: [string, string[]][] = [
      ["--depth deep is neither model nor real.", ["--depth", "deep"]],
      ["--count 0 is not a whole number from 1 on.", ["--count", "0"]],
      ["--seed first is not a whole number.", ["--seed", "first"]],
      ["--hours -1 is not a number above 0.", ["--hours=-1"]],
      ["--times goes with --only.", ["--times", "2"]],
      ["Unknown option '--fast'", ["--fast"]],
      ["Unexpected argument 'everything'", ["everything"]],
    ];
    await Promise.all(
      wrong.map(async ([why, args]) => {
        const { code, stdout, stderr } = await attack(...args);
        expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: "" });
        expect(stderr.startsWith(why), stderr).toBe(true);
        expect(stderr).toContain("--depth D     model or real");
      }),
    );
    expect(await attack("--help")).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a seed that breaks a promise", () => {
  it("ends with 1, and with the command that plays it again: there it breaks too", { timeout: LIMIT_MS }, async () => {
    const planted = ["--mutation", "home-is-assumed"];
    const main = "test/simulation/model/main.mjs";
    const { code, stdout } = await run("--no-warnings", main, "--first", "--seed", "1", "--seeds", "2", ...planted);
    expect(code).toBe(1);
    const sentence = /^seed 1 breaks promise 7: .+$/m.exec(stdout)?.[0] ?? "none";
    const again = /^again, with the whole story: node (.+)$/m.exec(stdout)?.[1]?.split(" ") ?? [];
    expect(again).toEqual([main, "--seed", "1", "--first", ...planted, "--trace"]);
    const second = await run(...again);
    expect(second.code).toBe(1);
    expect(second.stdout).toContain(sentence);
    expect(second.stdout).toContain("the site starts");
  });

  it("is told by an attack with its story's end and that command", { timeout: LIMIT_MS }, async () => {
    const { broken } = await simulate("--first", "--seed", "1", "--mutation", "home-is-assumed");
    const lines = told(broken).split("\n");
    expect(lines.at(-1)).toBe("again: node test/simulation/model/main.mjs --seed 1 --first --trace");
    expect(lines.at(-2)).toMatch(/^seed 1 breaks promise 7: /);
    expect(lines.at(-3)).toMatch(/PROMISE 7 IS BROKEN/);
  });
});

describe("an attack that has nothing to say", () => {
  it("says after a minute that it goes on, and not sooner after any other line", () => {
    vi.useFakeTimers();
    const said = vi.spyOn(console, "log").mockImplementation(() => undefined);
    try {
      const say = speaker(() => "still at it");
      vi.advanceTimersByTime(50_000);
      say("a seed is over");
      vi.advanceTimersByTime(59_000);
      expect(said.mock.calls.flat()).toEqual(["a seed is over"]);
      vi.advanceTimersByTime(61_000);
      expect(said.mock.calls.flat()).toEqual(["a seed is over", "still at it", "still at it"]);
    } finally {
      vi.useRealTimers();
      said.mockRestore();
    }
  });
});

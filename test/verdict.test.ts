import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { slowest, verdict } from "../scripts/verdict.mjs";

const module = (name: string, failed: boolean, tests: Record<string, string>, ...errors: string[]) => ({
  ...{ name, failed, errors, seconds: 0, setUpSeconds: 0 },
  tests: Object.entries(tests).map(([name, state]) => {
    const [, word = state, note] = /^(\w+): (.*)$/.exec(state) ?? [];
    return { name, state: word, ...(note ? { note } : {}) };
  }),
});
const report = (...modules: ReturnType<typeof module>[]) => ({ modules });
const ci = { ci: true, byName: false, clean: true };
const atHome = { ...ci, ci: false };

describe("what npm test comes to", () => {
  it("names each skipped test with its reason, and in CI fails for it", () => {
    const seen = report(module("a.test.ts", false, { one: "passed", two: "skipped", three: "skipped: no schemas" }));
    expect(verdict(seen, ci)).toEqual({
      ...{ passed: 1, failed: 2, skipped: 2 },
      lines: ["FAILED: two: skipped, which CI may not", "FAILED: three (no schemas): skipped, which CI may not"],
    });
    expect(verdict(seen, atHome)).toEqual({
      ...{ passed: 1, failed: 0, skipped: 2 },
      lines: ["skipped: two", "skipped: three (no schemas)"],
    });
    expect(verdict(seen, { ...ci, byName: true })).toEqual({ passed: 1, failed: 0, skipped: 2, lines: [] });
  });

  it("fails for a file that does not load, and for one whose preparation fails, whose tests the runner calls skipped", () => {
    const seen = report(
      module("a.test.ts", true, {}, "no such module\nat a.test.ts"),
      module("b.test.ts", true, { one: "skipped" }, "beforeAll"),
      module("c.test.ts", true, { good: "passed", bad: "failed" }),
    );
    for (const where of [ci, atHome]) {
      expect(verdict(seen, { ...where, clean: false })).toEqual({
        ...{ passed: 1, failed: 3, skipped: 1 },
        lines: [
          "FAILED: a.test.ts, beside its tests: no such module",
          "FAILED: b.test.ts, beside its tests: beforeAll",
          "skipped: one",
        ],
      });
    }
  });

  it("fails when the runner failed for what is in no test, as an error that nobody caught", () => {
    const seen = report(module("a.test.ts", false, { one: "passed" }));
    expect(verdict(seen, { ...ci, clean: false })).toMatchObject({ passed: 1, failed: 1 });
    expect(verdict(seen, ci)).toMatchObject({ passed: 1, failed: 0, lines: [] });
  });

  it("names the slowest files with the seconds of each and those of its set-up", () => {
    const timed = ([name, seconds, setUpSeconds]: [string, number, number]) => ({
      ...module(name, false, {}),
      ...{ seconds, setUpSeconds },
    });
    const seen = report(
      ...(
        [
          ["a", 1, 0.5],
          ["b", 100.04, 10],
          ["c", 20, 0],
        ] as [string, number, number][]
      ).map(timed),
    );
    expect(slowest(seen, 2)).toEqual([
      "  seconds   set-up  the 2 slowest of 3 files",
      "    100.0     10.0  b",
      "     20.0      0.0  c",
    ]);
  });

  it("is asked for by CI as such, with DMTF's schema files where they are", () => {
    const script = readFileSync(resolve(".ci/run"), "utf8");
    expect(script).toMatch(/^export CI=true$/m);
    expect(script).toMatch(/^ {2}export PITSTOP_REDFISH_SCHEMAS$/m);
  });
});

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { MAY_BE_SKIPPED, verdict } from "../scripts/verdict.mjs";

const [excused = ""] = Object.keys(MAY_BE_SKIPPED);
const file = (name: string, status: string, tests: Record<string, string>, message = "") => ({
  ...{ name, status, message },
  assertionResults: Object.entries(tests).map(([fullName, status]) => ({ fullName, status })),
});
const report = (...testResults: ReturnType<typeof file>[]) => ({
  numPassedTests: testResults.flatMap((one) => one.assertionResults).filter(({ status }) => status === "passed").length,
  testResults,
});
const ci = { ci: true, byName: false, clean: true };
const atHome = { ...ci, ci: false };

describe("what npm test comes to", () => {
  it("names each skipped test, and in CI fails for it unless it is excused", () => {
    const seen = report(
      file("a.test.ts", "passed", { one: "passed", two: "skipped", [excused]: "skipped", later: "todo" }),
    );
    const told = `skipped: ${excused} (${Object.values(MAY_BE_SKIPPED)[0]})`;
    expect(verdict(seen, ci)).toEqual({
      ...{ passed: 1, failed: 2, skipped: 3 },
      lines: ["FAILED: two: skipped, which CI may not", told, "FAILED: later: skipped, which CI may not"],
    });
    expect(verdict(seen, atHome)).toEqual({
      ...{ passed: 1, failed: 0, skipped: 3 },
      lines: ["skipped: two", told, "skipped: later"],
    });
    expect(verdict(seen, { ...ci, byName: true })).toEqual({ passed: 1, failed: 0, skipped: 3, lines: [] });
  });

  it("fails for a file that does not load, and for one whose preparation fails, whose tests the runner calls skipped", () => {
    const seen = report(
      file("a.test.ts", "failed", {}, "no such module\nat a.test.ts"),
      file("b.test.ts", "failed", { one: "skipped" }, "beforeAll"),
      file("c.test.ts", "failed", { good: "passed", bad: "failed" }),
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
    const seen = report(file("a.test.ts", "passed", { one: "passed" }));
    expect(verdict(seen, { ...ci, clean: false })).toMatchObject({ passed: 1, failed: 1 });
    expect(verdict(seen, ci)).toMatchObject({ passed: 1, failed: 0, lines: [] });
  });

  it("excuses only tests that there are, and CI asks for this by its variable", () => {
    const sources = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => readFileSync(join(import.meta.dirname, name), "utf8"));
    for (const name of Object.keys(MAY_BE_SKIPPED)) {
      expect(sources.some((source) => source.includes(`"${name}"`))).toBe(true);
    }
    expect(readFileSync(resolve(".ci/run"), "utf8")).toMatch(/^export CI=true$/m);
  });
});

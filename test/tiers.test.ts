import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isDeep } from "./support/tier.js";

const test = (...args: string[]) => spawnSync(process.execPath, ["scripts/test.mjs", ...args], { encoding: "utf8" });
const sources = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(ts|mts|mjs)$/.test(name) && name !== "tiers.test.ts")
  .map((name) => ({ name, text: readFileSync(join("test", name), "utf8") }));

it("lists each test file once, and beside the files of both tiers the numbers in which they differ", () => {
  const { stdout, status } = test("--list");
  const files = stdout.split("\n").filter((line) => line.endsWith(".test.ts"));
  const there = sources.filter(({ name }) => name.endsWith(".test.ts")).length + 1;
  expect(new Set(files).size).toBe(there);
  expect(files).toHaveLength(there);
  const fast = stdout.slice(0, stdout.indexOf("deep (npm run test:deep) adds"));
  expect(fast).toContain("  test/tiers.test.ts\n");
  expect(fast).not.toContain(".deep.test.ts");
  // A call of another form would not be found.
  const calls = sources.flatMap(({ text }) => [...text.matchAll(/= perTier\(/g)]).length;
  expect(stdout.match(/ instead of /g)).toHaveLength(calls);
  expect(status).toBe(0);
});

it("reaches the suites: the tier that was asked for is the one whose numbers they take", () => {
  // Unset where Vitest was started by hand.
  expect([undefined, isDeep ? "deep" : "fast"]).toContain(process.env.PITSTOP_TIER);
});

it("says in one sentence what is wrong with its arguments, and ends with 2", () => {
  const wrong: [string, string[]][] = [
    ["--seed is for npm run test:deep.", ["--seed", "3"]],
    ["--shard is for npm run test:deep.", ["--shard", "1/3"]],
    ["--seed day is not a whole number.", ["--deep", "--seed", "day"]],
    ["--shard 4/3 is not I/N with I from 1 to N.", ["--deep", "--shard", "4/3"]],
    ["--shard half is not I/N with I from 1 to N.", ["--deep", "--shard", "half"]],
    ["Unknown option '--watch'", ["--watch"]],
    ["No test file of the fast tier has test/nowhere in its path.", ["test/nowhere"]],
    [
      "No test file of the fast tier has test/crash/snapshots in its path; npm run test:deep has.",
      ["test/crash/snapshots"],
    ],
  ];
  for (const [why, args] of wrong) {
    const { stdout, stderr, status } = test(...args);
    expect({ args, status, stdout }).toEqual({ args, status: 2, stdout: "" });
    expect(stderr.startsWith(why), stderr).toBe(true);
  }
});

it("takes no chance but from the seed", () => {
  const chance = /Math\.random\(|Date\.now\(\) \/ 86_400_000|\brandomInt\(/;
  expect(sources.filter(({ text }) => chance.test(text)).map(({ name }) => name)).toEqual([]);
  // fast-check draws a seed where it is not told one.
  const unseeded = sources.filter(({ text }) => text.includes("fc.assert(") && !/seeded\.js"|\bseed,/.test(text));
  expect(unseeded.map(({ name }) => name)).toEqual([]);
});

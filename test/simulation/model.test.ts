import { describe, expect, it } from "vitest";
import { FOUND, KNOWN } from "./model/found.js";
import { simulate, told } from "./runner.js";

const SEEDS = 500;

describe("the product in virtual time", () => {
  it(`keeps every promise in ${SEEDS} seeds, and meets most of what its adversary can do`, {
    timeout: 900_000,
  }, async () => {
    const half = SEEDS / 2;
    const [a, b] = await Promise.all([
      simulate("--seed", "1", "--seeds", String(half)),
      simulate("--seed", String(half + 1), "--seeds", String(half)),
    ]);
    const known = new Set(KNOWN.map((one) => one.seed));
    const broken = [...a.broken, ...b.broken].filter((one) => !known.has(one.seed));
    expect(told({ ...a, broken })).toBe("");
    expect(a.seeds.length + b.seeds.length).toBe(SEEDS);
    // Which faults one seed has is its own choice; over all of them nearly each must have happened.
    expect(new Set([...Object.keys(a.hits), ...Object.keys(b.hits)]).size).toBeGreaterThan(45);
    expect([...new Set([...a.phases, ...b.phases])]).toHaveLength(12);
  });

  it("plays the same story for the same seed", { timeout: 300_000 }, async () => {
    const [once, again] = [
      await simulate("--seed", "101", "--seeds", "5"),
      await simulate("--seed", "101", "--seeds", "5"),
    ];
    expect(again.seeds).toEqual(once.seeds);
  });

  it("keeps its promises in every seed that once found a bug", { timeout: 300_000 }, async () => {
    const report = await simulate("--found");
    expect(report.seeds).toHaveLength(FOUND.length);
    expect(told(report)).toBe("");
  });
});

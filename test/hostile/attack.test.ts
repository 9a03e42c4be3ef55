import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bounded } from "./attack.js";
import { inBounds } from "./bounds.js";

/** Work that no pause is in, as of a parser that goes back again and again. */
function compute(ms: number): void {
  const before = process.cpuUsage();
  const took = () => process.cpuUsage(before).user / 1000;
  while (took() < ms);
}
const never = () => new Promise<void>(() => {});

describe("an attack fails", () => {
  it("where one case of many computes for longer than it may, and tries no smaller one", async () => {
    let hung = 0;
    const property = fc.property(fc.nat(1_000), (value) => {
      if (value < 100) return;
      hung += 1;
      compute(120);
    });
    await expect(bounded(property, { numRuns: 100, processorMs: 100 })).rejects.toThrow(
      /it took \d+ ms of the processor, and may take 100[\s\S]*PITSTOP_SEED=/,
    );
    expect(hung).toBe(1);
  });

  it("where one case waits for what does not come", async () => {
    const property = fc.asyncProperty(fc.nat(1_000), async (value) => {
      if (value >= 100) await never();
    });
    await expect(bounded(property, { numRuns: 100, wallMs: 50 })).rejects.toThrow(/it has not ended after 50 ms/);
    await expect(inBounds(never, { wallMs: 50 })).rejects.toThrow(/it has not ended after 50 ms/);
  });

  it("where its cases leave memory behind", async () => {
    const kept: Buffer[] = [];
    const property = fc.property(fc.nat(), () => {
      kept.push(Buffer.alloc(1024 * 1024, 1));
    });
    await expect(bounded(property, { numRuns: 50 })).rejects.toThrow(/it keeps \d+ MiB, and may keep 32/);
    expect(kept).toHaveLength(50);
  });

  it("where a case fails by itself, with the smallest one that fails", async () => {
    const property = fc.asyncProperty(fc.nat(1_000), async (value) => {
      expect(value).toBeLessThan(100);
    });
    await expect(bounded(property, { numRuns: 100 })).rejects.toThrow(/Counterexample: \[100\]/);
  });
});

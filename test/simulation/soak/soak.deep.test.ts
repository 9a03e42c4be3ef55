import { expect, test } from "vitest";
import { growthOf, leaks } from "./slopes.js";
import { Soak } from "./soak.js";

test("a hundred sessions leave no file open, in server, Temporal or lab", { timeout: 10 * 60_000 }, async () => {
  // Where other suites want the processor as well, a workflow task may be cut in two, which costs three events.
  const soak = { sessions: 100, atOnce: 10, sampleMs: 500, maxEvents: 120 };
  const { samples, broken, done, seconds } = await Soak.run(soak);
  console.log(`${done} sessions in ${seconds} s`, growthOf(samples));
  expect(broken).toEqual([]);
  expect(done).toBe(100);
  expect(leaks(samples)).toEqual([]);
});

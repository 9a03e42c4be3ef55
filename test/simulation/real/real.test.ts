import { expect, test } from "vitest";
import { attack, explain } from "./attack.js";
import { BATCH } from "./schedule.js";

/** One whole batch; another one by `PITSTOP_SEED`. */
const FIRST = Number(process.env.PITSTOP_SEED ?? 0);

test(`against real servers, each of ${BATCH} seeds from ${FIRST} on keeps every promise`, {
  timeout: 30 * 60_000,
}, async () => {
  const { seeds, trouble, seconds } = await attack(Array.from({ length: BATCH }, (_, i) => FIRST + i));
  const stranded = seeds.flatMap((seed) => seed.stranded).length;
  console.log(`${seeds.length} seeds in ${seconds} s; ${stranded} announced stranded, and home by a retry`);
  const broken = seeds.filter((seed) => seed.broken.length > 0).map(explain);
  expect(broken.length, broken.join("\n\n")).toBe(0);
  expect(trouble, "the servers themselves").toEqual([]);
});

import { expect, test } from "vitest";
import { attack, explain } from "./attack.js";
import { BATCH, scheduleOf, sharedScheduleOf, tell } from "./schedule.js";

/** Two whole batches; another begin by `PITSTOP_SEED`. */
const FIRST = Number(process.env.PITSTOP_SEED ?? 0);

test("a seed fixes the whole schedule, and seeds differ", () => {
  expect(scheduleOf(7)).toEqual(scheduleOf(7));
  expect(sharedScheduleOf(7)).toEqual(sharedScheduleOf(7));
  expect(new Set(Array.from({ length: 200 }, (_, seed) => tell(scheduleOf(seed)).replace(/s\d+-/g, ""))).size).toBe(
    200,
  );
});

test.each([FIRST, FIRST + BATCH])(
  `against real servers, each of ${BATCH} seeds from %i on keeps every promise`,
  { timeout: 30 * 60_000 },
  async (first) => {
    const { seeds, trouble, seconds } = await attack(Array.from({ length: BATCH }, (_, i) => first + i));
    const stranded = seeds.flatMap((seed) => seed.stranded).length;
    console.log(`${seeds.length} seeds in ${seconds} s; ${stranded} announced stranded, and home by a retry`);
    expect(trouble, "the servers themselves").toEqual([]);
    const broken = seeds.filter((seed) => seed.broken.length > 0).map(explain);
    expect(broken.length, broken.join("\n\n")).toBe(0);
  },
);

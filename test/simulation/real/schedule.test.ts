import { expect, test } from "vitest";
import { kindOf } from "./met.js";
import { BATCH, scheduleOf, sharedScheduleOf, tell } from "./schedule.js";

const kindsOf = (seeds: number): Set<string> =>
  new Set(
    Array.from({ length: seeds }, (_, seed) => scheduleOf(seed).targets)
      .flat()
      .flatMap(({ sessions }) => sessions.flatMap(({ moves }) => moves.map(kindOf))),
  );

test("a seed fixes the whole schedule, and seeds differ", () => {
  expect(scheduleOf(7)).toEqual(scheduleOf(7));
  expect(sharedScheduleOf(7)).toEqual(sharedScheduleOf(7));
  const told = Array.from({ length: 200 }, (_, seed) => tell(scheduleOf(seed)).replace(/s\d+-|seed \d+/g, ""));
  expect(new Set(told).size).toBe(200);
});

test("the batch that runs with every change has every kind of deed that there is", () => {
  const all = [...kindsOf(1_000)].sort();
  expect([...kindsOf(BATCH)].sort()).toEqual(all);
  expect(all.length).toBeGreaterThanOrEqual(36);
  const { kills, cuts, scarce } = sharedScheduleOf(0);
  expect([kills.length, cuts.length, scarce.length].every((count) => count > 0)).toBe(true);
});

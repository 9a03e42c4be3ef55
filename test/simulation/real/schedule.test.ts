import { expect, test } from "vitest";
import { scheduleOf, sharedScheduleOf, tell } from "./schedule.js";

test("a seed fixes the whole schedule, and seeds differ", () => {
  expect(scheduleOf(7)).toEqual(scheduleOf(7));
  expect(sharedScheduleOf(7)).toEqual(sharedScheduleOf(7));
  const told = Array.from({ length: 200 }, (_, seed) => tell(scheduleOf(seed)).replace(/s\d+-|seed \d+/g, ""));
  expect(new Set(told).size).toBe(200);
});

import { expect, test } from "vitest";
import { leaks, type Sample } from "./slopes.js";

const line = (count: number, figures: (sessions: number) => Omit<Sample, "sessions">): Sample[] =>
  Array.from({ length: count }, (_, i) => ({ sessions: i, ...figures(i) }));

test("a leak of one handle a session is found in 100 sessions; what comes and goes is none", () => {
  expect(leaks(line(100, (i) => ({ "serve files": 80 + i + 10 * Math.sin(i) })))).toEqual([
    expect.stringMatching(/^serve files grow by \d+ per 1,000 sessions, and may by 500$/),
  ]);
  expect(leaks(line(100, (i) => ({ "serve files": 80 + 10 * Math.sin(i) })))).toEqual([]);
});

test("a leak of a session's size is found in 3,000 sessions", () => {
  const samples = (mib: number) => line(3_000, (i) => ({ "serve MiB": 300 + mib * i + 15 * Math.sin(i / 20) }));
  expect(leaks(samples(0.1))).toHaveLength(1);
  expect(leaks(samples(0.01))).toEqual([]);
});

test("too few samples are not taken for a proof", () => {
  expect(leaks(line(6, () => ({ "serve files": 80 })))).toHaveLength(1);
});

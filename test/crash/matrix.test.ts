import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isDeep, perTier, seed } from "../support/tier.js";
import { type Case, caseFor, type Judged, nextTry, type Points, parseCase, scenariosOf, seeded } from "./cases.js";
import { discover, FEW_SIZES, openWorld, runCases, SAMPLE_SIZES, WHOLE_SIZES } from "./matrix.js";
import { effectsInCode, NOT_A_SESSIONS } from "./points.js";
import { failure, figures, neverHit, report } from "./report.js";
import { SCENARIOS } from "./scenarios.js";
import { VICTIMS, type Victim, type World } from "./world.js";

/** `sample`: one round of each victim. `whole`: every point of every victim, PITSTOP_CRASH_TIMES times. */
const whole = process.env.PITSTOP_CRASH === "whole";
const times = whole ? Number(process.env.PITSTOP_CRASH_TIMES ?? 1) : 1;
const victims = (process.env.PITSTOP_CRASH_VICTIMS?.split(",") ?? VICTIMS) as Victim[];
const only = process.env.PITSTOP_CRASH_CASE;
const SAMPLE = perTier("cases of each victim", { fast: 4, deep: 14 });
/** A session that is never at its post proves nothing: where fewer than half were hit, others are drawn, so often in all. */
const DRAWS = 3;
const HOURS_MS = 6 * 3_600_000;
/** Timing moves what a session passes: a point that nobody met is tried in one scenario after another. */
const TRIES = 5;
/** How often a case that failed is run again, to say how often it does. */
const AGAIN = 2;

const SIZES = whole ? WHOLE_SIZES : isDeep ? SAMPLE_SIZES : FEW_SIZES;
const SCENARIOS_HERE = SCENARIOS.filter(({ pool }) => pool in SIZES);

let world: World;
let points: Record<Victim, Points>;
const judged: Judged[] = [];

beforeAll(async () => {
  execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
  console.log(`crash matrix: seed ${seed}`);
  world = await openWorld(SIZES);
}, 240_000);
afterAll(() => world?.close(), 60_000);

test("each scenario comes home in peace, with nothing unexplained", { timeout: 600_000 }, async () => {
  const found = await discover(world, SCENARIOS_HERE);
  points = found.points;
  if (found.complaints.length > 0) console.log(world.story);
  expect(found.complaints).toEqual([]);
  // Without the slow scenarios, not every side effect is among them.
  if (!isDeep) return;
  const seen = new Set([...scenariosOf(points.serve).keys()].map((key) => key.replace(/^\w+ /, "")));
  // A side effect that no session of these has: give it a scenario (scenarios.ts), or a reason (points.ts).
  const forgotten = effectsInCode().filter((point) => !seen.has(point) && !(point in NOT_A_SESSIONS));
  expect(forgotten).toEqual([]);
});

const passes = Array.from({ length: times }, (_, index) =>
  victims.map((victim) => ({ pass: index + 1, victim })),
).flat();
test.each(passes)(
  "$victim dies at the side effects of a session: home, and exactly one record (pass $pass)",
  { timeout: whole ? HOURS_MS : 600_000 },
  async ({ victim, pass }) => {
    const mine: Judged[] = [];
    const run = (cases: Case[]) =>
      runCases(world, victim, cases, (one) => {
        mine.push(one);
        judged.push(one);
        if (!whole) return;
        if (one.complaints.length > 0) console.log(failure(one));
        tell();
      });
    const left = () => (whole && !only ? neverHit({ seed, victims, points, judged }, victim) : []);
    const random = seeded(seed * 31 + VICTIMS.indexOf(victim) + (pass - 1) * 1_000_003);
    const hits = () => mine.filter((one) => one.how === "hit").length;
    const cases = chosen(victim, random);
    const enough = Math.ceil(cases.length / 2);
    await run(cases);
    for (let drawn = 1; drawn < DRAWS && !whole && !only && hits() < enough; drawn++)
      await run(draw(victim, random, SAMPLE - hits()));
    for (let tried = 0; tried < TRIES && left().length > 0; tried++)
      await run(left().map((key) => nextTry(points[victim], key, victim, tried)));
    const failed = mine.filter((one) => one.complaints.length > 0);
    if (whole) await run(failed.flatMap((one) => Array.from({ length: AGAIN }, () => one)));
    console.log(`${victim}, pass ${pass}: ${figures(mine)}`);
    tell();
    expect(failed.map(failure)).toEqual([]);
    expect(hits()).toBeGreaterThanOrEqual(enough);
    // Nobody died there: give it a scenario that stands there long enough, or correct what counts as alive (matrix.ts).
    expect(left()).toEqual([]);
  },
);

function chosen(victim: Victim, random: () => number): Case[] {
  if (only) return [parseCase(only, victim)];
  if (!whole) return draw(victim, random, SAMPLE);
  return keysOf(victim).map((key) => caseFor(points[victim], key, victim, random));
}

function draw(victim: Victim, random: () => number, count: number): Case[] {
  const keys = keysOf(victim);
  const drawn = Array.from({ length: count }, () => keys[Math.floor(random() * keys.length)] as string);
  return drawn.map((key) => caseFor(points[victim], key, victim, random));
}

const keysOf = (victim: Victim): string[] => [...scenariosOf(points[victim]).keys()].sort();

function tell(): void {
  if (process.env.PITSTOP_CRASH_REPORT)
    writeFileSync(process.env.PITSTOP_CRASH_REPORT, report({ seed, victims, points, judged }));
}

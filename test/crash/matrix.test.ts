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
import { isServer, VICTIMS, type Victim, type World } from "./world.js";

/** `sample`: one round of each victim. `whole`: every point of every victim, PITSTOP_CRASH_TIMES times. */
const whole = process.env.PITSTOP_CRASH === "whole";
const times = whole ? Number(process.env.PITSTOP_CRASH_TIMES ?? 1) : 1;
const victims = (process.env.PITSTOP_CRASH_VICTIMS?.split(",") ?? VICTIMS) as Victim[];
const only = process.env.PITSTOP_CRASH_CASE;
const SAMPLE = perTier("cases of each victim", { fast: 3, deep: 14 });
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

/** A server's death is everybody's; agents and machines die alone, and so beside each other. */
const groups = [...victims.filter(isServer).map((victim) => [victim]), victims.filter((victim) => !isServer(victim))];
const passes = Array.from({ length: times }, (_, index) =>
  groups.filter((group) => group.length > 0).map((group) => ({ pass: index + 1, group, who: group.join(" or ") })),
).flat();
test.each(passes)(
  "$who dies at the side effects of a session: home, and exactly one record (pass $pass)",
  { timeout: whole ? HOURS_MS : 600_000 },
  async ({ group, pass, who }) => {
    const mine: Judged[] = [];
    const run = (cases: Case[]) =>
      runCases(world, cases, (one) => {
        mine.push(one);
        judged.push(one);
        if (!whole) return;
        if (one.complaints.length > 0) console.log(failure(one));
        tell();
      });
    const left = (victim: Victim) => (whole && !only ? neverHit({ seed, victims, points, judged }, victim) : []);
    const random = Object.fromEntries(
      group.map((victim) => [victim, seeded(seed * 31 + VICTIMS.indexOf(victim) + (pass - 1) * 1_000_003)]),
    ) as Record<Victim, () => number>;
    const cases = group.flatMap((victim) => chosen(victim, random[victim]));
    const of = (all: Judged[] | Case[], victim: Victim) => all.filter((one) => one.victim === victim).length;
    const hits = (victim: Victim) =>
      of(
        mine.filter((one) => one.how === "hit"),
        victim,
      );
    const short = () => group.filter((victim) => hits(victim) < Math.ceil(of(cases, victim) / 2));
    await run(cases);
    for (let drawn = 1; drawn < DRAWS && !whole && !only && short().length > 0; drawn++)
      await run(short().flatMap((victim) => draw(victim, random[victim], SAMPLE - hits(victim))));
    for (let tried = 0; tried < TRIES && group.some((victim) => left(victim).length > 0); tried++)
      await run(group.flatMap((victim) => left(victim).map((key) => nextTry(points[victim], key, victim, tried))));
    const failed = mine.filter((one) => one.complaints.length > 0);
    if (whole) await run(failed.flatMap((one) => Array.from({ length: AGAIN }, () => one)));
    console.log(`${who}, pass ${pass}: ${figures(mine)}`);
    tell();
    expect(failed.map(failure)).toEqual([]);
    expect(short()).toEqual([]);
    // Nobody died there: give it a scenario that stands there long enough, or correct what counts as alive (matrix.ts).
    expect(group.flatMap(left)).toEqual([]);
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

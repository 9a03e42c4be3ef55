import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Case,
  caseFor,
  discover,
  type Judged,
  keyOf,
  nameOfCase,
  openWorld,
  type Points,
  runCases,
  scenariosOf,
  seeded,
} from "./matrix.js";
import { effectsInCode, NOT_A_SESSIONS } from "./points.js";
import { SCENARIOS } from "./scenarios.js";
import { VICTIMS, type Victim, type World } from "./world.js";

/** `sample`: one round of each victim. `whole`: every point of every victim, PITSTOP_CRASH_TIMES times. */
const whole = process.env.PITSTOP_CRASH === "whole";
const times = Number(process.env.PITSTOP_CRASH_TIMES ?? 1);
/** The sample leaves out those of which no green run is known yet: run.mjs takes them by name. */
const SAMPLED: readonly Victim[] = ["site", "agent", "machine"];
const victims = (process.env.PITSTOP_CRASH_VICTIMS?.split(",") ?? (whole ? VICTIMS : SAMPLED)) as Victim[];
const only = process.env.PITSTOP_CRASH_CASE;
/** A new one each day; what fails says how to run it again. */
const seed = Number(process.env.PITSTOP_CRASH_SEED ?? Math.floor(Date.now() / 86_400_000));
const SAMPLE = 14;
const HOURS_MS = 6 * 3_600_000;

let world: World;
let points: Points;
let inImage: Points;
const judged: Judged[] = [];

beforeAll(async () => {
  execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
  console.log(`crash matrix: seed ${seed}`);
  world = await openWorld();
}, 240_000);
afterAll(() => world?.close(), 60_000);

test("each scenario comes home in peace, with nothing unexplained", { timeout: 600_000 }, async () => {
  const found = await discover(world);
  points = found.points;
  inImage = found.inImage;
  if (found.complaints.length > 0) console.log(world.story);
  expect(found.complaints).toEqual([]);
  const seen = new Set([...scenariosOf(points).keys()].map((key) => key.replace(/^\w+ /, "")));
  // A side effect that no session of these has: give it a scenario (scenarios.ts), or a reason (points.ts).
  const forgotten = effectsInCode().filter((point) => !seen.has(point) && !(point in NOT_A_SESSIONS));
  expect(forgotten).toEqual([]);
});

test.each(victims)(
  "%s dies at the side effects of a session: home, and exactly one record",
  { timeout: whole ? HOURS_MS : 600_000 },
  async (victim) => {
    const failures: string[] = [];
    await runCases(world, victim, chosen(victim), (one) => {
      judged.push(one);
      if (one.complaints.length > 0) failures.push(failure(one));
      if (whole && one.complaints.length > 0) console.log(failure(one));
    });
    const mine = judged.filter((one) => one.victim === victim);
    const count = (how: Judged["how"]) => mine.filter((one) => one.how === how).length;
    console.log(
      `${victim}: ${mine.length} cases, ${count("hit")} hit, ${count("idle")} idle, ${count("missed")} missed, ${failures.length} failed`,
    );
    if (process.env.PITSTOP_CRASH_REPORT) writeFileSync(process.env.PITSTOP_CRASH_REPORT, report());
    expect(failures).toEqual([]);
    // A session that is never at its post proves nothing: some may end before it, the most must not.
    // An agent is gone by itself at many of its posts: it has turned the machine off.
    expect(count("hit")).toBeGreaterThan(victim === "agent" || only ? 0 : mine.length / 4);
  },
);

function chosen(victim: Victim): Case[] {
  if (only) return [parse(only, victim)];
  const random = seeded(seed * 31 + VICTIMS.indexOf(victim));
  const among = victim === "agent" ? inImage : points;
  const keys = [...scenariosOf(among).keys()].sort();
  if (whole)
    return Array.from({ length: times }, () => keys)
      .flat()
      .map((key) => caseFor(among, key, victim, random));
  return Array.from({ length: SAMPLE }, () =>
    caseFor(among, keys[Math.floor(random() * keys.length)] as string, victim, random),
  );
}

/** `active: after journal.save #3`. */
function parse(text: string, victim: Victim): Case {
  const [, name, when, point, nth] = /^(.*?): (before|after) (.*) #(\d+)$/.exec(text) ?? [];
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (!scenario) throw new Error(`${text} is no case; give it as "active: after journal.save #3"`);
  return { victim, scenario, post: { when: when as "before", point: point as string, nth: Number(nth) } };
}

const failure = (one: Judged): string =>
  [
    `${nameOfCase(one)} (${one.how})`,
    ...one.complaints.map((line) => `    ${line}`),
    `  again: node test/crash/run.mjs --victim ${one.victim} --case "${one.scenario.name}: ${keyOf(one.post)} #${one.post.nth}"`,
  ].join("\n");

function report(): string {
  const keys = [...scenariosOf(points).keys()].sort();
  const cell = (victim: Victim, key: string) => {
    const mine = judged.filter((one) => one.victim === victim && keyOf(one.post) === key);
    const bad = mine.filter((one) => one.complaints.length > 0).length;
    return `${mine.filter((one) => one.how === "hit").length}/${mine.length}${bad ? ` (${bad} FAILED)` : ""}`;
  };
  const bad = judged.filter((one) => one.complaints.length > 0);
  return [
    `seed ${seed}: ${keys.length} points, ${judged.length} cases, ${judged.filter((one) => one.how === "hit").length} hit, ${bad.length} failed`,
    `| point (hit/cases) | ${victims.join(" | ")} |`,
    `|---|${victims.map(() => "---").join("|")}|`,
    ...keys.map((key) => `| ${key} | ${victims.map((victim) => cell(victim, key)).join(" | ")} |`),
    ...bad.map(failure),
    "",
  ].join("\n");
}

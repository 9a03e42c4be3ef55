import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seed } from "../support/tier.js";
import { type Case, caseFor, type Judged, type Points, parseCase, seeded } from "./cases.js";
import { EMULATED } from "./emulated.js";
import { discover, EMULATED_SIZES, openWorld, runCases } from "./matrix.js";
import { failure, figures, report } from "./report.js";
import { VICTIMS, type Victim, type World } from "./world.js";

/** Real firmware, kernels and images under the same deaths: PITSTOP_CRASH_QEMU of them, spread over victims and the session. */
const wanted = Number(process.env.PITSTOP_CRASH_QEMU ?? 20);
const only = process.env.PITSTOP_CRASH_CASE;
const victims = (process.env.PITSTOP_CRASH_VICTIMS?.split(",") ?? VICTIMS) as Victim[];
const HOURS_MS = 3 * 3_600_000;

let world: World;
let points: Record<Victim, Points>;

beforeAll(async () => {
  execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
  console.log(`crash matrix on QEMU: seed ${seed}`);
  world = await openWorld(EMULATED_SIZES);
}, 600_000);
afterAll(() => world?.close(), 60_000);

test("a BIOS and a UEFI machine come home in peace", { timeout: HOURS_MS }, async () => {
  const found = await discover(world, EMULATED);
  points = found.points;
  expect(found.complaints).toEqual([]);
});

test("emulated machines come home whoever dies", { timeout: HOURS_MS }, async () => {
  const judged: Judged[] = [];
  for (const round of rounds()) {
    const [first] = round;
    if (!first) continue;
    await runCases(world, round, (one) => {
      judged.push(one);
      console.log(one.complaints.length > 0 ? failure(one) : `${one.how}: ${one.victim} ${one.scenario.name}`);
      if (process.env.PITSTOP_CRASH_REPORT)
        writeFileSync(process.env.PITSTOP_CRASH_REPORT, report({ seed, victims, points, judged }));
    });
  }
  console.log(`on QEMU: ${figures(judged)}`);
  expect(judged.filter((one) => one.complaints.length > 0).map(failure)).toEqual([]);
  expect(judged.filter((one) => one.how === "hit").length).toBeGreaterThanOrEqual(judged.length / 2);
});

/**
 * One victim and one point for both machines, so that they come to it together. From round to round another victim, and
 * for each victim another stretch of the session.
 */
function rounds(): Case[][] {
  if (only) return [[parseCase(only, victims[0] as Victim)]];
  const count = Math.ceil(wanted / EMULATED.length);
  const random = seeded(seed * 31);
  const start = count < victims.length ? Math.floor(random() * victims.length) : 0;
  const each = Math.ceil(count / victims.length);
  return Array.from({ length: count }, (_, round) => {
    const victim = victims[(start + round) % victims.length] as Victim;
    const [bios, uefi] = EMULATED;
    const keys = [...(points[victim].get(bios?.name ?? "") ?? new Map()).keys()].filter((key) =>
      points[victim].get(uefi?.name ?? "")?.has(key),
    );
    const at = (Math.floor(round / victims.length) + random()) / each;
    const key = keys[Math.floor(at * keys.length)] as string;
    return EMULATED.map((scenario) => caseFor(onlyOf(points[victim], scenario.name), key, victim, random));
  });
}

const onlyOf = (all: Points, scenario: string): Points => new Map([[scenario, all.get(scenario) ?? new Map()]]);

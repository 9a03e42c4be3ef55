import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../../src/domain/errors.js";
import { DOCUMENTS } from "./actions.js";
import { Met } from "./met.js";
import { Phases } from "./phases.js";
import { type Played, play } from "./play.js";
import { type Schedule, scheduleOf, sharedScheduleOf, tell } from "./schedule.js";
import { World } from "./world.js";

export interface SeedResult {
  seed: number;
  broken: string[];
  stranded: string[];
  outcomes: string[];
  /** The schedule and what came of it, for a person. */
  report: string;
  met: Met;
}

export interface AttackResult {
  seeds: SeedResult[];
  /** What is no single seed's: a server that ended by itself, a journal file that was corrupt. */
  trouble: string[];
  /** What of the adversary came to pass, over all seeds. */
  met: Met;
  seconds: number;
}

/** Plays these seeds at once on one set of servers, with the kills of the first one's batch. */
export async function attack(
  seeds: number[],
  told: (result: SeedResult) => void = () => undefined,
): Promise<AttackResult> {
  const began = Date.now();
  const schedules = seeds.map(scheduleOf);
  const machines = schedules.flatMap(({ targets }) => targets.map(({ machine }) => machine));
  const world = await World.start({ machines }, { documents: DOCUMENTS });
  const phases = new Phases(world.client);
  const over = new AbortController();
  try {
    const met = new Met();
    const shared = harass(world, seeds[0] ?? 0, met, over.signal);
    const results = await Promise.all(
      schedules.map(async (schedule) => {
        const result = await playSeed(world, phases, schedule);
        told(result);
        return result;
      }),
    );
    over.abort();
    await shared;
    const corrupt = world.journal().filter((name) => name.includes(".corrupt-"));
    const trouble = [...world.trouble, ...corrupt.map((name) => `the journal had a corrupt file ${name}`)];
    for (const result of results) met.add(result.met);
    countHook(world, met);
    return { seeds: results, trouble, met, seconds: Math.round((Date.now() - began) / 1000) };
  } finally {
    over.abort();
    await phases.close();
    await world.close();
  }
}

async function playSeed(world: World, phases: Phases, schedule: Schedule): Promise<SeedResult> {
  const played = await Promise.all(schedule.targets.map((target) => play(world, phases, target)));
  const all = (pick: (one: Played) => string[]) =>
    played.flatMap((one, i) => pick(one).map((line) => `${schedule.targets[i]?.machine.name}: ${line}`));
  const broken = all((one) => one.broken);
  const story = played.flatMap((one, i) => [
    `  ${schedule.targets[i]?.machine.name}`,
    ...one.story.map((l) => `    ${l}`),
  ]);
  const met = new Met();
  for (const one of played) met.add(one.met);
  return {
    met,
    seed: schedule.seed,
    broken,
    stranded: all((one) => one.stranded),
    outcomes: played.flatMap((one) => one.outcomes),
    report: [tell(schedule), "what came of it:", ...story].join("\n"),
  };
}

/** Kills, jumps of the clock, cut connections and what is scarce, as the batch's seed has them, while its sessions last. */
async function harass(world: World, seed: number, met: Met, signal: AbortSignal): Promise<void> {
  const { kills, clock, cuts, scarce } = sharedScheduleOf(seed);
  const at = async (atS: number, kind: string, act: () => unknown) => {
    await sleep(atS * 1000, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    met.due(kind);
    await act();
  };
  const killing = async () => {
    let clockS = 0;
    for (const { atS, victim } of kills) {
      await at(atS - clockS, "kill", () => world.kill(victim));
      clockS = atS;
    }
  };
  const done = await Promise.allSettled([
    killing(),
    ...clock.map(({ atS, ms }) => at(atS, "clock", () => world.order({ clockMs: ms }))),
    ...cuts.map(({ atS, share }) => at(atS, "cut", () => world.cut(share))),
    ...scarce.map(({ atS, forS, what }) => at(atS, SCARCE[what], () => world.starve(what, forS * 1000))),
  ]);
  for (const one of done) if (one.status === "rejected") world.trouble.push(messageOf(one.reason));
}

const SCARCE = { disk: "full disk", handles: "no file handle" };

/** What the world and the server's hook have counted. */
function countHook(world: World, met: Met): void {
  const { effects, cut, jumps, scarce } = world.met();
  for (const times of Object.values(world.killed)) met.met("kill", times);
  met.met("clock", jumps.length);
  met.met("cut", cut);
  met.met(SCARCE.disk, scarce.disk);
  met.met(SCARCE.handles, scarce.handles);
  for (const effect of effects) met.met(effect.kind);
}

/** What a person reads of a failing seed: the promise, the story, and how to see it again. */
export function explain({ seed, broken, report }: SeedResult): string {
  return [
    `seed ${seed} broke ${broken.length} promise${broken.length === 1 ? "" : "s"}:`,
    ...broken.map((line) => `  - ${line}`),
    report,
    `again: npm run attack -- --depth real --seed ${seed} --only`,
  ].join("\n");
}

import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../../src/domain/errors.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import { within } from "../real/bounds.js";
import { Phases } from "../real/phases.js";
import { type Before, judge, lookBefore } from "../real/promises.js";
import { World } from "../real/world.js";

/** Hundreds at once wait for each other; what the server's deaths cost is not to look like a machine that is lost. */
const DOCUMENTS = `
kind: Action
name: storm
image: noise
mode: active
tasks: [{name: first, script: "sleep 1; echo '{}'"}, {name: second, script: "sleep 1; echo '{}'"}]
limits: {boot: 90s, bootAttempts: 2, work: 10m, lease: 90s, home: 60s}
`;
/** Of the server's connections, at each blow. */
const SHARE = 0.2;
/** The API starts at most so many with one request. */
const AT_ONCE = 100;
const RETRIES = 5;
/** For a session with hundreds beside it, on a busy host. */
const END_MS = 40 * 60_000;

export interface StormResult {
  sessions: number;
  kills: number;
  seconds: number;
  /** How the sessions ended and what became of the work, with how many of each. */
  endings: Record<string, number>;
  stranded: number;
  /** By Temporal's visibility, by the records, and by each BMC's own log: what does not agree. */
  broken: string[];
}

/**
 * Starts a session on every machine at once; every `everyS` the server is killed (-9) and a fifth of its connections is cut,
 * `kills` times or until all have ended. Then every session must have exactly one ending, by three witnesses.
 */
export async function storm(options: { sessions: number; kills: number; everyS: number }): Promise<StormResult> {
  const began = Date.now();
  const names = Array.from({ length: options.sessions }, (_, i) => `storm-${String(i + 1).padStart(3, "0")}`);
  const world = await World.start({ machines: names.map((name) => ({ name })) }, { documents: DOCUMENTS });
  const phases = new Phases(world.client);
  const over = new AbortController();
  try {
    const before = new Map<string, Before>();
    for (const name of names) before.set(name, await lookBefore(world.lab.target(name)));
    const sessions = await startAll(world, names);
    const blows = blow(world, options, over.signal);
    let stranded = 0;
    const settled = sessions.map((session, i) =>
      within(END_MS, `the session of ${names[i]} is neither home nor stranded`, () =>
        settle(world, phases, session, () => (stranded += 1)),
      ).catch((error: unknown) => void world.trouble.push(messageOf(error))),
    );
    const records = (await Promise.all(settled)).filter((record) => record !== undefined);
    over.abort();
    const kills = await blows;
    const endings: Record<string, number> = {};
    for (const { ending, outcome } of records) {
      const key = `${ending}, ${outcome}`;
      endings[key] = (endings[key] ?? 0) + 1;
    }
    const broken = [...world.trouble, ...(await reconcile(world, before, records))];
    const seconds = Math.round((Date.now() - began) / 1000);
    return { sessions: records.length, kills, seconds, endings, stranded, broken };
  } finally {
    over.abort();
    await phases.close();
    await world.close();
  }
}

async function startAll(world: World, names: string[]): Promise<string[]> {
  const sessions: string[] = [];
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const targets = names.slice(at, at + AT_ONCE);
    const { started, refused } = await world.client.start({ targets, action: "storm", requestedBy: "the storm" });
    if (refused[0]) throw new Error(`${refused[0].target} was refused: ${refused[0].problem.detail}`);
    sessions.push(...started.map(({ session }) => session));
  }
  return sessions;
}

/** Returns how often the server was killed. */
async function blow(
  world: World,
  { kills, everyS }: { kills: number; everyS: number },
  signal: AbortSignal,
): Promise<number> {
  for (let done = 0; done < kills; done++) {
    await sleep(everyS * 500, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return done;
    await world.cut(SHARE);
    await sleep(everyS * 500, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return done;
    await world.kill("serve").catch((error: unknown) => world.trouble.push(messageOf(error)));
  }
  return kills;
}

/** A session that is announced stranded is asked to try again, as a person would. */
async function settle(world: World, phases: Phases, session: string, strands: () => void): Promise<SessionRecord> {
  let record = await phases.settled(session, () => undefined);
  for (let tries = 0; record.endedAt === null && tries < RETRIES; tries++) {
    strands();
    await world.client.retry(session, { by: "the storm" }).catch(() => undefined);
    await sleep(3_000);
    record = await phases.settled(session, () => undefined);
  }
  return record;
}

async function reconcile(world: World, before: Map<string, Before>, records: SessionRecord[]): Promise<string[]> {
  const judged = [...before].map(async ([name, was]) => {
    const mine = records.filter((record) => record.target === name);
    const said = await judge(world, world.lab.target(name), was, mine);
    return said.map((line) => `${name}: ${line}`);
  });
  return (await Promise.all(judged)).flat();
}

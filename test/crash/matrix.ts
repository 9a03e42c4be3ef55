import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../src/domain/errors.js";
import type { ProcessMachine } from "../../src/lab/process/machine.js";
import type { Begun } from "./judge.js";
import { isAnybodys, keyOf, nameOf, type Post } from "./posts.js";
import { documents, POOLS, type Pool, SCENARIOS, type Scenario } from "./scenarios.js";
import { isServer, type Victim, World } from "./world.js";

/** Which occurrences each side effect has in each scenario, by the scenario's name and the effect's key. */
export type Points = Map<string, Map<string, number[]>>;

export interface Case {
  victim: Victim;
  scenario: Scenario;
  post: Post;
}

export interface Judged extends Case {
  /** `hit`: the victim died while the session stood at its post. `idle`: there was nothing of it to kill. `missed`: the session never came there. */
  how: "hit" | "idle" | "missed";
  complaints: string[];
}

/** As many sessions as two cores bring to their posts before a held call times out. */
const POOL_SIZE: Record<Pool, number> = { bios: 14, off: 2, uefi: 2, silent: 2, medium: 2 };
/** Held calls are activities of 20 s and more: whoever has not reached its post by then is hit where it is. */
const RENDEZVOUS_MS = 15_000;
/** Every retry of every activity, with servers that were away in the midst of it, on a busy host. */
const SESSION_MS = 240_000;
const DOWN_MS = 500;

export async function openWorld(): Promise<World> {
  const world = await World.start(
    Object.entries(POOLS).flatMap(([pool, config]) =>
      Array.from({ length: POOL_SIZE[pool as Pool] }, (_, i) => ({ name: `${pool}-${i + 1}`, ...config })),
    ),
  );
  await world.apply([...documents((name) => world.imageFile(name)), ...targetDocuments(world)]);
  return world;
}

function targetDocuments(world: World): object[] {
  return world.lab
    .targetDocuments()
    .map((one) => (one.name.startsWith("medium") ? { ...one, boot: { ...one.boot, via: ["virtual-media"] } } : one));
}

/** Runs each scenario once, in peace, and notes what it passes. What is not as it should be is a complaint. */
export async function discover(world: World): Promise<{ points: Points; inImage: Points; complaints: string[] }> {
  const points: Points = new Map();
  const inImage: Points = new Map();
  const complaints: string[] = [];
  const free = freeMachines();
  await Promise.all(
    SCENARIOS.map(async (scenario) => {
      const target = free[scenario.pool].shift() as string;
      const begun = await world.judge.begin(target);
      world.posts.watch(target, null);
      const said = await runScenario(world, scenario, begun, "steady", "serve");
      complaints.push(...said.map((one) => `${scenario.name}: ${one}`));
      const story = world.posts.story(target);
      points.set(scenario.name, occurrences(story));
      inImage.set(scenario.name, occurrences(whileInImage(story)));
    }),
  );
  return { points, inImage, complaints };
}

function occurrences(story: string[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const step of story) {
    const [, key = "", nth] = /^(.*) #(\d+)$/.exec(step) ?? [];
    found.set(key, [...(found.get(key) ?? []), Number(nth)]);
  }
  return found;
}

/** From the agent's first request of its own to the way home: where there is an agent that can die. */
function whileInImage(story: string[]): string[] {
  const from = story.findIndex((step) => step.startsWith("before agent.next"));
  const to = story.findIndex((step) => step.startsWith("before activity.restoreBoot"));
  if (from < 0) return [];
  return story.slice(from, to < 0 ? undefined : to).filter((step) => !isAnybodys(step.split(" ")[1] ?? ""));
}

/** The cases of one victim side by side, as many at once as there are machines for them. */
export async function runCases(
  world: World,
  victim: Victim,
  cases: Case[],
  onJudged: (judged: Judged) => void,
  until = Number.POSITIVE_INFINITY,
): Promise<void> {
  const waiting = [...cases];
  while (waiting.length > 0 && Date.now() < until) {
    const free = freeMachines();
    const round: { one: Case; target: string }[] = [];
    for (const one of [...waiting]) {
      const target = free[one.scenario.pool].shift();
      if (!target) continue;
      round.push({ one, target });
      waiting.splice(waiting.indexOf(one), 1);
    }
    for (const judged of await runRound(world, victim, round)) onJudged(judged);
  }
}

async function runRound(world: World, victim: Victim, round: { one: Case; target: string }[]): Promise<Judged[]> {
  const begun = new Map<string, Begun>();
  for (const { target } of round) {
    (world.lab.target(target).machine as ProcessMachine).injectFaults({ noFirstContact: target.startsWith("silent") });
    begun.set(target, await world.judge.begin(target));
  }
  const hits = new Map<string, Promise<boolean>>();
  for (const { one, target } of round) {
    world.posts.watch(target, one.post, () => {
      if (isServer(victim)) return;
      hits.set(
        target,
        strike(world, victim, target, one.post).finally(() => world.posts.release(target)),
      );
    });
  }
  const pace = isServer(victim) && victim !== "everything" ? "steady" : "hasty";
  const running = round.map(({ one, target }) =>
    runScenario(world, one.scenario, begun.get(target) as Begun, pace, victim),
  );
  if (isServer(victim)) {
    await rendezvous(
      world,
      round.map(({ target }) => target),
      running,
    );
    for (const { target } of round) if (world.posts.isReached(target)) hits.set(target, Promise.resolve(true));
    const { pid } = world.temporal;
    await world.killServers(victim);
    if (victim === "everything") await Promise.all(round.map(({ target }) => world.cutMachine(target, "reset")));
    await sleep(DOWN_MS);
    world.posts.releaseAll();
    await world.healServers(victim, pid);
  }
  return await Promise.all(
    round.map(async ({ one, target }, index): Promise<Judged> => {
      const complaints = (await running[index]) ?? [];
      const hit = hits.get(target);
      return { ...one, complaints, how: hit === undefined ? "missed" : (await hit) ? "hit" : "idle" };
    }),
  );
}

/** Until every session stands at its post, or has ended without having come there. */
async function rendezvous(world: World, targets: string[], running: Promise<unknown>[]): Promise<void> {
  let over = 0;
  for (const one of running) void one.then(() => over++);
  for (const end = Date.now() + RENDEZVOUS_MS; Date.now() < end; await sleep(50)) {
    if (targets.filter(world.posts.isReached).length + over >= targets.length) return;
  }
}

async function strike(world: World, victim: Victim, target: string, { nth, when }: Post): Promise<boolean> {
  // Both kinds of each death, by turns.
  const odd = (nth + (when === "before" ? 0 : 1)) % 2 === 1;
  if (victim === "agent") return world.killAgent(target, odd);
  // A power that fails before the snapshot is what home is, and after the way home has begun nobody's promise.
  const story = world.posts.story(target);
  const away = story.includes("after activity.captureSnapshot #1") && !story.includes("before activity.restoreBoot #1");
  return await world.cutMachine(target, odd || !away ? "reset" : "off");
}

/** Drives the scenario, waits for the end of its sessions, and has the target judged. */
async function runScenario(
  world: World,
  scenario: Scenario,
  begun: Begun,
  pace: "steady" | "hasty",
  victim: Victim,
): Promise<string[]> {
  try {
    await scenario.drive(world, begun.target, pace);
    const sessions = await allEnded(world, scenario, begun);
    const only = pace === "steady";
    const said = await world.judge.complaints(begun, {
      sessions,
      ...(only && scenario.boots !== null ? { boots: scenario.boots } : {}),
      ...(only && victim !== "everything" && scenario.outcome ? { outcome: scenario.outcome } : {}),
    });
    if (sessions.length > scenario.sessions.most)
      said.push(`It had ${sessions.length} sessions, not ${scenario.sessions.most}.`);
    return said.length === 0 ? [] : [...said, ...world.judge.logSince(begun)];
  } catch (error) {
    return [messageOf(error), ...world.judge.logSince(begun)];
  }
}

/** The sessions that the target had since; all have ended, or wait for a person. */
async function allEnded(world: World, scenario: Scenario, { target, at }: Begun): Promise<string[]> {
  let last = "no session is known";
  for (const end = Date.now() + SESSION_MS; Date.now() < end; await sleep(400)) {
    const answer = await world.client.sessions({ target, limit: 1000 }).catch(() => null);
    const since = answer?.items.filter(({ startedAt }) => startedAt >= at) ?? [];
    if (answer) last = since.map(({ session, phase }) => `${session} is ${phase}`).join(", ") || "no session is known";
    const over = since.every(({ endedAt, ending }) => endedAt !== null || ending === "stranded");
    if (since.length >= scenario.sessions.least && over) return since.map(({ session }) => session);
  }
  throw new Error(`not over within ${SESSION_MS / 1000} s: ${last}`);
}

function freeMachines(): Record<Pool, string[]> {
  const names = (pool: Pool) => Array.from({ length: POOL_SIZE[pool] }, (_, i) => `${pool}-${i + 1}`);
  return Object.fromEntries(Object.keys(POOLS).map((pool) => [pool, names(pool as Pool)])) as Record<Pool, string[]>;
}

/** Every key that occurs, each with the scenarios that come to it. */
export function scenariosOf(points: Points): Map<string, { scenario: Scenario; nths: number[] }[]> {
  const of = new Map<string, { scenario: Scenario; nths: number[] }[]>();
  for (const scenario of SCENARIOS) {
    for (const [key, nths] of points.get(scenario.name) ?? [])
      of.set(key, [...(of.get(key) ?? []), { scenario, nths }]);
  }
  return of;
}

/** One case for a key, chosen by `random` among the scenarios that pass it and their passings. */
export function caseFor(points: Points, key: string, victim: Victim, random: () => number): Case {
  const found = scenariosOf(points).get(key) ?? [];
  // Few machines are special: the plain ones take most.
  const plain = found.filter(({ scenario }) => scenario.pool === "bios");
  const among = plain.length > 0 && random() < 0.8 ? plain : found;
  const chosen = among[Math.floor(random() * among.length)];
  if (!chosen) throw new Error(`no scenario comes to ${key}`);
  const [, when, point] = /^(before|after) (.*)$/.exec(key) ?? [];
  const nth = chosen.nths[Math.floor(random() * chosen.nths.length)] ?? 1;
  return { victim, scenario: chosen.scenario, post: { when: when as Post["when"], point: point as string, nth } };
}

export const nameOfCase = ({ victim, scenario, post }: Case): string =>
  `${victim} dies ${nameOf(post)} of "${scenario.name}"`;
export { keyOf };

/** A generator of its own (mulberry32), so that a seed gives the same cases everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../src/domain/errors.js";
import type { ProcessMachine } from "../../src/lab/process/machine.js";
import type { Case, Judged, Passing, Points } from "./cases.js";
import { EMULATED_POOLS, emulatedAction } from "./emulated.js";
import type { Begun } from "./judge.js";
import { isAnybodys, keyOf, type Post, type Step } from "./posts.js";
import { documents, POOLS, type Pool, type Scenario } from "./scenarios.js";
import { isServer, VICTIMS, type Victim, World } from "./world.js";

/** Machines of each kind: as many sessions as two cores bring to their posts before a held call times out. */
export type Sizes = Partial<Record<Pool, number>>;
export const SAMPLE_SIZES: Sizes = { bios: 14, off: 2, uefi: 2, silent: 2, medium: 2 };
/** One machine for each scenario that takes seconds. */
export const FEW_SIZES: Sizes = { bios: 9, off: 1, uefi: 1 };
/** Rounds of the whole run are fewer, and each takes a little longer. */
export const WHOLE_SIZES: Sizes = { bios: 24, off: 3, uefi: 3, silent: 3, medium: 3 };
/** An emulated machine takes a core. */
export const EMULATED_SIZES: Sizes = { "qemu-bios": 1, "qemu-uefi": 1 };

const DOWN_MS = 500;

export async function openWorld(sizes: Sizes): Promise<World> {
  const world = await World.start(
    Object.entries({ ...POOLS, ...EMULATED_POOLS }).flatMap(([pool, config]) =>
      machines(pool as Pool, sizes).map((name) => ({ name, ...config })),
    ),
  );
  await world.apply([...documents(world), emulatedAction(world.deaths), ...targetDocuments(world)]);
  return world;
}

const machines = (pool: Pool, sizes: Sizes): string[] =>
  Array.from({ length: sizes[pool] ?? 0 }, (_, i) => `${pool}-${i + 1}`);

function targetDocuments(world: World): object[] {
  return world.lab
    .targetDocuments()
    .map((one) => (one.name.startsWith("medium") ? { ...one, boot: { ...one.boot, via: ["virtual-media"] } } : one));
}

/** Runs each scenario once, in peace, and notes what it passes, and who was there then. What is not as it should be is a complaint. */
export async function discover(
  world: World,
  scenarios: readonly Scenario[],
): Promise<{ points: Record<Victim, Points>; complaints: string[] }> {
  const points = Object.fromEntries(VICTIMS.map((victim) => [victim, new Map()])) as Record<Victim, Points>;
  const complaints: string[] = [];
  const free = [...world.lab.targets];
  await Promise.all(
    scenarios.map(async (scenario) => {
      const [taken] = free.splice(
        free.findIndex(({ name }) => poolOf(name) === scenario.pool),
        1,
      );
      const target = taken?.name as string;
      const begun = await world.judge.begin(target);
      world.posts.watch(target, null);
      const said = await runScenario(world, scenario, begun, "steady", "temporal");
      complaints.push(...said.map((one) => `${scenario.name}: ${one}`));
      const story = world.posts.story(target);
      for (const victim of VICTIMS) points[victim].set(scenario.name, passings(story, victim));
    }),
  );
  return { points, complaints };
}

function passings(story: Step[], victim: Victim): Map<string, Passing[]> {
  const found = new Map<string, Passing[]>();
  for (const step of story.filter((one) => isThere(one, victim))) {
    const key = keyOf(step);
    found.set(key, [...(found.get(key) ?? []), { nth: step.nth, ms: step.ms }]);
  }
  return found;
}

/** Servers always run. What is anybody's says nothing of which agent runs, but that the first contact is made by one. */
function isThere({ point, alive }: Step, victim: Victim): boolean {
  if (victim === "machine") return alive.machine;
  if (victim === "agent") return alive.agent && (point === "agent.hello" || !isAnybodys(point));
  return true;
}

/** Cases of one server, or of victims that die alone: side by side, as many at once as there are machines for them. */
export async function runCases(world: World, cases: Case[], onJudged: (judged: Judged) => void): Promise<void> {
  // Who comes to its post early does not wait there for those that come late.
  const waiting = cases.toSorted((a, b) => a.ms - b.ms);
  const take = (pool: string) => {
    const index = waiting.findIndex((one) => one.scenario.pool === pool);
    return index < 0 ? undefined : waiting.splice(index, 1)[0];
  };
  const free = world.lab.targets.map(({ name }) => ({ pool: poolOf(name), target: name }));
  const round = () => free.flatMap(({ pool, target }) => ({ one: take(pool), target })).filter(isTaken);
  const server = cases.find(({ victim }) => isServer(victim))?.victim;
  if (server) {
    while (waiting.length > 0) for (const judged of await runRound(world, server, round())) onJudged(judged);
    return;
  }
  // An agent or a machine dies alone: nobody has to wait for the others.
  await Promise.all(
    free.map(async ({ pool, target }) => {
      for (let one = take(pool); one; one = take(pool))
        for (const judged of await runRound(world, one.victim, [{ one, target }])) onJudged(judged);
    }),
  );
}

const isTaken = (it: { one: Case | undefined; target: string }): it is { one: Case; target: string } =>
  it.one !== undefined;

type Round = { one: Case; target: string }[];

async function runRound(world: World, victim: Victim, round: Round): Promise<Judged[]> {
  const begun = new Map<string, Begun>();
  for (const { target } of round) {
    const { machine } = world.lab.target(target);
    const noFirstContact = poolOf(target) === "silent";
    if (machine.kind === "process") (machine as ProcessMachine).injectFaults({ noFirstContact });
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
  let broken: string[] = [];
  if (isServer(victim)) {
    await rendezvous(world, round, running);
    for (const { target } of round) if (world.posts.isReached(target)) hits.set(target, Promise.resolve(true));
    broken = await strikeServers(world, victim, round).catch((error) => [messageOf(error)]);
  }
  return await Promise.all(
    round.map(async ({ one, target }, index): Promise<Judged> => {
      const complaints = [...broken, ...((await running[index]) ?? [])];
      const hit = hits.get(target);
      return { ...one, complaints, how: hit === undefined ? "missed" : (await hit) ? "hit" : "idle" };
    }),
  );
}

/** What went wrong with the servers themselves. */
async function strikeServers(world: World, victim: Victim, round: Round): Promise<string[]> {
  const before = world.kept;
  await world.killServers(victim);
  if (victim === "everything") await Promise.all(round.map(({ target }) => world.cutMachine(target, "reset")));
  await sleep(DOWN_MS);
  world.posts.releaseAll();
  await world.healServers(victim, before);
  return [];
}

/** Until every session stands at its post, or has ended without having come there; not for long after the first stands there. */
async function rendezvous(world: World, round: Round, running: Promise<unknown>[]): Promise<void> {
  const heldMs = Math.max(...round.map(({ one }) => one.scenario.heldMs));
  let over = 0;
  for (const one of running) void one.then(() => over++);
  for (let end = Number.POSITIVE_INFINITY; Date.now() < end; await sleep(50)) {
    const there = round.filter(({ target }) => world.posts.isReached(target)).length;
    if (there + over >= round.length) return;
    if (there > 0) end = Math.min(end, Date.now() + heldMs);
  }
}

async function strike(world: World, victim: Victim, target: string, { nth, when }: Post): Promise<boolean> {
  // Both kinds of each death, by turns.
  const odd = (nth + (when === "before" ? 0 : 1)) % 2 === 1;
  if (victim === "agent") return world.killAgent(target, odd);
  return await world.cutMachine(target, odd || !isAway(world.posts.story(target)) ? "reset" : "off");
}

/** Between snapshot and proof: a power that fails before the one is what home is, and after the other nobody's promise. */
function isAway(story: Step[]): boolean {
  const last = (point: string) =>
    story.findLastIndex((step) => step.when === "after" && step.point === `activity.${point}`);
  return last("captureSnapshot") > Math.max(last("verifyHome"), last("closeSite"));
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
      ...(only && scenario.boots !== null ? { boots: [scenario.boots, scenario.boots + detours(victim)] } : {}),
      ...(only && victim !== "everything" && scenario.outcome ? { outcome: scenario.outcome } : {}),
    });
    if (sessions.length > scenario.sessions.most)
      said.push(`It had ${sessions.length} sessions, not ${scenario.sessions.most}.`);
    return said.length === 0 ? [] : [...said, ...world.judge.logSince(begun)];
  } catch (error) {
    return [messageOf(error), ...world.judge.logSince(begun)];
  }
}

/** A target that asks for its image while no boot server is there goes on to its own disk, and is taken away once more. */
const detours = (victim: Victim): number => (victim === "serve" || victim === "site" ? 1 : 0);

/** The sessions that the target had since; all have ended, or wait for a person. */
async function allEnded(world: World, scenario: Scenario, { target, at }: Begun): Promise<string[]> {
  let last = "no session is known";
  for (const end = Date.now() + scenario.patienceMs; Date.now() < end; await sleep(400)) {
    const answer = await world.client.sessions({ target, limit: 1000 }).catch(() => null);
    const since = answer?.items.filter(({ startedAt }) => startedAt >= at) ?? [];
    if (answer) last = since.map(({ session, phase }) => `${session} is ${phase}`).join(", ") || "no session is known";
    const over = since.every(({ endedAt, ending }) => endedAt !== null || ending === "stranded");
    if (since.length >= scenario.sessions.least && over) return since.map(({ session }) => session);
  }
  throw new Error(`not over within ${scenario.patienceMs / 1000} s: ${last}`);
}

const poolOf = (target: string): string => target.replace(/-\d+$/, "");

import { createHash } from "node:crypto";
import type { SessionStatus } from "../../../src/domain/session.js";
import { after, elapsed, eventsSoFar, install, inWorld, run, startAnew } from "./clock.js";
import type { Machine } from "./machine.js";
import { Random } from "./random.js";
import { disturbLater } from "./strangers.js";
import { World } from "./world.js";

const MINUTE = 60_000;
/** A story without an end is a defect of its own. */
const MAX_EVENTS = 400_000;
/** After the adversary has stopped: a day and an hour, in which everything must have come home. */
const PATIENCE_MS = 25 * 60 * MINUTE;
const MAX_RETRIES = 8;

export interface Told {
  seed: number;
  broken: { promise: number; sentence: string } | null;
  story: string[];
  hash: string;
  events: number;
  virtualMs: number;
  hits: Map<string, number>;
  phases: Set<string>;
  endings: string[];
}

export interface Options {
  /** No faults at all. */
  quiet?: boolean;
  /** Only the faults of the first stream: what a seed meant before the others came. */
  first?: boolean;
  /** The site, or a BMC, is away for 40 min from the moment on in which a session enters this phase; nothing else happens. */
  cut?: { who: "site" | "bmc"; phase: string };
}

/** Runs one seed, from the first start to the last machine at home. */
export async function runSeed(seed: number, options: Options = {}): Promise<Told> {
  startAnew();
  const world = new World(seed, options);
  const noise = new Random(seed + 7_777);
  install(() => noise.next());
  inWorld(() => begin(world));
  let calmAt = Number.POSITIVE_INFINITY;
  const retries = new Map<string, number>();
  const settle = () => {
    world.promises.look();
    if (world.promises.broken) return;
    if (calmAt === Number.POSITIVE_INFINITY) {
      calmAt = elapsed();
      world.adversary.stop();
      world.later.stop();
      world.jumpClock(0);
      world.setClocks(0, "all");
      for (const machine of world.machines) machine.bmc.password = world.promises.rightPassword;
      world.tell("the adversary has stopped");
    }
    people(world, retries);
  };
  const horizonMs = world.random.pick([5, 10, 20, 40]) * MINUTE;
  inWorld(() => after(horizonMs, settle));
  const beat = () => {
    settle();
    inWorld(() => after(30_000, beat));
  };
  inWorld(() => after(horizonMs + 30_000, beat));
  const over = () => {
    if (world.promises.broken) return true;
    if (elapsed() < calmAt) return false;
    if (elapsed() > calmAt + PATIENCE_MS) return true;
    return isSettled(world);
  };
  const how = await run(over, MAX_EVENTS);
  if (how !== "done" || elapsed() > calmAt + PATIENCE_MS) {
    world.promises.break(
      1,
      `It does not end: after ${Math.round(elapsed() / MINUTE)} virtual minutes somebody is still away.`,
    );
  }
  world.promises.atTheEnd();
  return {
    seed,
    broken: world.promises.broken,
    story: world.story,
    hash: createHash("sha256").update(world.story.join("\n")).digest("hex").slice(0, 16),
    events: eventsSoFar(),
    virtualMs: elapsed(),
    hits: world.adversary.hits,
    phases: world.phases,
    endings: world.promises.endings,
  };
}

function begin(world: World): void {
  world.startSessions();
  world.startSite();
  const { random } = world;
  if (!world.options.cut) disturbLater(world);
  for (const machine of world.machines) {
    const action = random.pick(["active", "active", "active", "resume", "passive", "cycle", "approved"]);
    after(random.between(500, 3_000), () => world.startSession(machine, { action }));
    if (world.options.cut) approve(world, machine);
    else disturb(world, machine);
  }
  if (world.options.cut) return;
  const kills: [number, () => void][] = [
    [0.5, () => world.adversary.does("site killed", 1) && world.killSite(random.between(200, 90_000))],
    [0.5, () => world.adversary.does("sessions killed", 1) && world.killSessions(random.between(200, 90_000))],
    [0.3, () => world.adversary.does("host loses power", 1) && losePower(world)],
    [0.3, () => world.adversary.does("journal lost", 1) && loseJournal(world)],
    [0.3, () => world.adversary.does("clock jumps", 1) && world.jumpClock(random.between(-600_000, 600_000))],
  ];
  for (const [share, act] of kills) {
    for (let n = 0; n < 3; n++) if (random.chance(share)) after(random.between(1_000, 8 * MINUTE), act);
  }
}

function approve(world: World, machine: Machine): void {
  const run = world.temporal.open(`maintenance/${machine.name}`);
  if (run?.phase === "waiting") void run.update("approve", { by: "bob" });
  after(20_000, () => approve(world, machine));
}

function losePower(world: World): void {
  world.killSessions(world.random.between(5_000, 120_000));
  world.killSite(world.random.between(5_000, 120_000));
  world.disk.losePower();
}

function loseJournal(world: World): void {
  world.killSite(world.random.between(1_000, 30_000));
  world.loseJournal();
  world.tell("the site's journal is lost");
}

/** What people and strangers do to a target and its session, at moments of their own. */
function disturb(world: World, machine: Machine): void {
  const { random, adversary } = world;
  const id = `maintenance/${machine.name}`;
  const session = () => world.temporal.open(id);
  const at = (act: () => void) => after(random.between(1_000, 6 * MINUTE), act);
  at(() => {
    if (adversary.does("person aborts", 0.8)) void session()?.update("abort", { by: "ann", reason: "enough" });
  });
  at(() => {
    if (!session() || !adversary.does("session terminated", 0.8)) return;
    session()?.terminate();
    after(random.between(1_000, 4 * MINUTE), () => {
      world.startSession(machine, random.chance(0.5) ? { restoreOnly: true } : { action: "active" });
    });
  });
  at(() => {
    if (!adversary.does("stranger's reset", 0.8)) return;
    machine.strangerAt = elapsed();
    if (random.chance(0.7)) machine.reboot("a stranger");
    else machine.powerOn();
  });
  at(() => {
    if (adversary.does("second start", 0.8)) world.startSession(machine, { action: "active" });
  });
  at(() => {
    if (!adversary.does("start with another id", 0.8)) return;
    world.startSession(machine, { action: "active" }, `mine/${machine.name}`);
  });
  at(() => {
    if (!adversary.does("bmc refuses the password", 0.8)) return;
    machine.bmc.password = "changed by somebody";
    machine.bmc.expireSessions();
    after(random.between(10_000, 5 * MINUTE), () => {
      machine.bmc.password = world.promises.rightPassword;
    });
  });
  const often = () => {
    const run = session();
    if (run?.phase === "waiting" && random.chance(0.7)) void run.update("approve", { by: "bob" });
    // A person may act where one is called, and where the session only waits for what is away.
    const mayAct = run?.phase === "stranded" || Boolean(run?.query<SessionStatus>("status")?.waitingFor);
    if (mayAct && adversary.does("person retries", 0.5)) void run?.update("retryRestore", { by: "bob" });
    else if (mayAct && adversary.does("person releases", 0.4)) release(world, machine);
    if (adversary.active) after(20_000, often);
  };
  after(20_000, often);
}

function release(world: World, machine: Machine): void {
  void world.temporal
    .open(`maintenance/${machine.name}`)
    ?.update("releaseTarget", { by: "eve", reason: "it is scrap" })
    .then((taken) => taken && world.promises.released(machine));
}

/** When all is calm: whoever is asked acts, as docs/reliability.md says. */
function people(world: World, retries: Map<string, number>): void {
  for (const machine of world.machines) {
    const run = world.temporal.open(`maintenance/${machine.name}`);
    if (run?.phase === "waiting") void run.update("approve", { by: "bob" });
    if (run?.phase === "stranded") {
      const tried = retries.get(machine.name) ?? 0;
      const status = run.query<SessionStatus>("status");
      if (tried >= MAX_RETRIES) {
        const why = status?.stranded?.message ?? "no reason";
        world.promises.break(1, `${machine.name} stays stranded although nothing stands in its way: ${why}`);
      }
      retries.set(machine.name, tried + 1);
      // Asked in vain more than once, a person goes there and turns it off and on, as it was.
      if (tried > 2) {
        machine.powerOff("a person, by hand");
        if (world.promises.wasOn(machine)) machine.powerOn();
      }
      void run.update("retryRestore", { by: "bob" });
    }
  }
}

function isSettled(world: World): boolean {
  return world.machines.every((machine) => {
    if (world.temporal.open(`maintenance/${machine.name}`)) return false;
    if (world.promises.isReleased(machine)) return true;
    if (world.catalogue.snapshots.has(machine.name) || world.entry(machine)?.snapshot) return false;
    return machine.power === "Off" || machine.running === "home";
  });
}

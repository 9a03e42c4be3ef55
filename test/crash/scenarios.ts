import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, PitstopError } from "../../src/domain/errors.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import { outlast } from "./patience.js";
import type { World } from "./world.js";

/** Machines of which a scenario needs one. */
export const POOLS = {
  bios: {},
  off: { power: "off" },
  uefi: { firmware: "uefi" },
  silent: { faults: { noFirstContact: true } },
  /** Its document names virtual media, which it passes over: the medium goes in and out, and home is reached all the same. */
  medium: {},
} as const satisfies Record<string, Partial<LabConfigInput["machines"][number]>>;
export type Pool = keyof typeof POOLS | "qemu-bios" | "qemu-uefi";

/** A session's course; all of them together pass every side effect that there is. */
export interface Scenario {
  name: string;
  pool: Pool;
  /** How the work ends, and how often the target's own system starts, while nothing but servers die. */
  outcome: SessionRecord["outcome"];
  boots: number | null;
  /** Sessions that the target has in it; a campaign whose start was answered by nobody is started twice. */
  sessions: { least: number; most: number };
  /** How long its sessions may take, with every retry of every activity, on a busy host. */
  patienceMs: number;
  /** How long the first one at its post is held there while others are on their way to theirs. */
  heldMs: number;
  /** Begins it, and does what people and machines do in it. Each step outlives servers that are away. */
  drive(world: World, target: string, pace: Pace): Promise<void>;
}

/** `steady`: deadlines that no death of a server comes near. `hasty`: those that an agent's or machine's death must meet. */
export type Pace = "steady" | "hasty";
const LIMITS = {
  steady: { boot: "60s", bootAttempts: 3, work: "3m", lease: "3m", home: "60s" },
  hasty: { boot: "12s", bootAttempts: 2, work: "30s", lease: "10s", home: "30s" },
} as const;

/** Held calls are activities of 20 s and more. */
const PATIENCE = { patienceMs: 240_000, heldMs: 20_000 };

const echo = (name: string, seconds = 0) => ({
  name,
  script: `sleep ${seconds}; echo '{"ok": true}'`,
  timeout: `${seconds + 60}s`,
});
/**
 * How long a session works that somebody acts on meanwhile: the answer to its start may be held at a post, even that of another
 * target's session, and the server that is then asked how the session stands may have to start again first.
 */
const ACTED_ON_S = 100;
/** Tells a target's task that its machine has been reset. */
const resetFile = (folder: string, target: string): string => join(folder, `${target}.reset`);
/** The first time it waits for the machine's reset, the second time it has seen it. */
const untilReset = (name: string, folder: string) => ({
  ...echo(name, ACTED_ON_S),
  script: `for i in $(seq ${ACTED_ON_S}); do [ -e "${resetFile(folder, "$PITSTOP_TARGET")}" ] && break; sleep 1; done; echo '{"ok": true}'`,
});

const actions = (folder: string) => [
  { name: "active", image: "noise", mode: "active", tasks: [echo("first", 1), echo("second")] },
  { name: "passive", image: "noise", mode: "passive", tasks: [echo("first", 1)] },
  { name: "cycle", mode: "active" },
  { name: "failing", image: "noise", mode: "active", tasks: [{ name: "fails", script: "exit 3" }] },
  { name: "long", image: "noise", mode: "active", tasks: [echo("long", ACTED_ON_S)] },
  {
    ...{ name: "resuming", image: "noise", mode: "active", onReboot: "resume" },
    tasks: [untilReset("first", folder), echo("second")],
  },
  { name: "open", image: "noise", mode: "active", interactive: true, tasks: [echo("first")] },
];

/** The documents that the scenarios need. */
export const documents = (world: World): object[] => [
  {
    kind: "Image",
    name: "noise",
    role: "maintenance",
    arch: "x86_64",
    kernel: world.imageFile("kernel"),
    initrds: [world.imageFile("initrd")],
  },
  ...Object.entries(LIMITS).flatMap(([pace, limits]) =>
    actions(world.dir).map((action) => ({ kind: "Action", ...action, name: `${action.name}-${pace}`, limits })),
  ),
];

const plain = (
  name: string,
  pool: Pool,
  boots: number,
  outcome: Scenario["outcome"] = "succeeded",
  action = name,
): Scenario => ({
  ...{ name, pool, boots, outcome, sessions: { least: 1, most: 1 }, ...PATIENCE },
  drive: (world, target, pace) => begin(world, target, { action: `${action}-${pace}` }),
});

export const SCENARIOS: readonly Scenario[] = [
  plain("active", "bios", 1),
  plain("passive", "bios", 1),
  plain("cycle", "bios", 1),
  plain("failing", "bios", 1, "failed"),
  plain("was off", "off", 0, "succeeded", "active"),
  plain("uefi", "uefi", 1, "succeeded", "active"),
  {
    ...plain("no contact", "silent", 1, "failed"),
    drive: (world, target) => begin(world, target, { action: "active-hasty" }),
  },
  {
    ...plain("medium", "medium", 2, "failed"),
    drive: (world, target) => begin(world, target, { action: "active-hasty" }),
  },
  {
    ...plain("abort", "bios", 1, "aborted"),
    async drive(world, target, pace) {
      await begin(world, target, { action: `long-${pace}` });
      await whileWorking(world, target, (session) => world.client.abort(session, { by: "a test" }));
    },
  },
  {
    ...plain("resume", "bios", 2),
    async drive(world, target, pace) {
      rmSync(resetFile(world.dir, target), { force: true });
      await begin(world, target, { action: `resuming-${pace}` });
      await whileWorking(world, target, async () => {
        await world.cutMachine(target, "reset");
        writeFileSync(resetFile(world.dir, target), "");
      });
    },
  },
  {
    ...plain("supply", "bios", 1),
    async drive(world, target, pace) {
      await begin(world, target, { action: `open-${pace}` });
      await whileWorking(world, target, (session) =>
        world.client.supply(session, { by: "a test", task: { name: "more", script: "echo more" }, last: true }),
      );
    },
  },
  {
    ...plain("restore only", "bios", 0),
    outcome: null,
    drive: (world, target) => begin(world, target, { restoreOnly: true }),
  },
  {
    ...plain("campaign", "bios", 2),
    boots: null,
    sessions: { least: 2, most: 9 },
    async drive(world, target, pace) {
      await begin(world, target, { action: `cycle-${pace}` });
      await again(async () => {
        await world.client.startCampaign({
          targets: [target],
          action: `active-${pace}`,
          onBusy: "wait",
          requestedBy: target,
        });
      });
    },
  },
];

/** Starts a session, once, whatever becomes of the answers. */
export async function begin(
  world: World,
  target: string,
  body: { action?: string; restoreOnly?: boolean },
): Promise<void> {
  const before = new Set((await list(world, target)).map(({ session }) => session));
  await again(async () => {
    if ((await list(world, target)).some(({ session }) => !before.has(session))) return;
    const { refused } = await world.client.start({ target, requestedBy: "a test", ...body });
    const problem = refused[0]?.problem;
    if (problem) throw new PitstopError(problem.code, problem.detail);
  });
}

const list = async (world: World, target: string) =>
  await again(async () => (await world.client.sessions({ target, limit: 1000 })).items);

/** Does something once while the newest session works; nothing where it never does. */
async function whileWorking(world: World, target: string, act: (session: string) => Promise<unknown>): Promise<void> {
  for (const end = Date.now() + PATIENCE.patienceMs; Date.now() < end; await sleep(250)) {
    const record = await world.client.session(target).catch(() => null);
    if (record?.endedAt || record?.phase === "restoring" || record?.phase === "stranded") return;
    if (record?.phase !== "working") continue;
    // Refused where the session has gone on in the meantime: it is as it is.
    await again(() => act(record.session)).catch(() => undefined);
    return;
  }
}

/** Whether to try again: no server is there, or a start was heard whose answer was lost, and whose session is not listed yet. */
const PASSING = ["unreachable", "internal", "conflict", "busy"];

/** Tries until a server takes it. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await outlast((error) => error instanceof PitstopError && PASSING.includes(error.code), work);
  } catch (error) {
    throw new Error(`not taken: ${messageOf(error)}`, { cause: error });
  }
}

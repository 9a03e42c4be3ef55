import type { DoneSignal, HelloSignal, RebootedSignal, TaskResult } from "../../../src/domain/session.js";
import { after, elapsed, inWorld } from "./clock.js";
import type { Machine } from "./machine.js";
import type { Execution } from "./temporal.js";
import type { World } from "./world.js";

/** In every signal that no session may act upon: where it is found in a record, one did. */
export const VOID = "void-7c1e";

/** The moment at which a machine is armed is the one at which a reset takes the override from its session. */
const ARMED_MS = 15_000;

/** What strangers and clocks do beside the first adversary's own, at moments of their own. */
export function disturbLater(world: World): void {
  const { later } = world;
  for (const [fault, whose] of [
    ["sessions' clock jumps", "sessions"],
    ["all clocks jump", "all"],
  ] as const) {
    if (!later.has(fault)) continue;
    for (let n = 0; n < 2; n++) {
      after(later.random.between(1_000, 8 * 60_000), () => {
        if (later.does(fault, 0.5)) world.setClocks(later.clockError(), whose);
      });
    }
  }
  for (const machine of world.machines) writeSignals(world, machine);
}

/** Somebody who may write to Temporal, and means another session, another arming or another boot, or nothing at all. */
function writeSignals(world: World, machine: Machine): void {
  const { later } = world;
  const kinds = (
    ["signal of another session", "signal of another arming", "signal of another boot", "signal of no shape"] as const
  ).filter((kind) => later.has(kind));
  if (kinds.length === 0) return;
  const again = () => {
    const run = world.temporal.open(`maintenance/${machine.name}`);
    const matters = run !== null && ["rebooting", "working"].includes(run.phase);
    for (const kind of kinds) if (run && later.does(kind, matters ? 0.3 : 0.03)) write(world, machine, run, kind);
    if (later.active) after(later.random.between(1_000, 20_000), again);
  };
  after(later.random.between(1_000, 60_000), again);
}

function write(world: World, machine: Machine, run: Execution, kind: string): void {
  const { random } = world.later;
  const name = random.pick(["hello", "done", "rebooted"] as const);
  const right = { session: run.runId, epoch: world.entry(machine)?.boot?.epoch ?? 1, bootId: machine.bootId };
  let payload: unknown;
  if (kind === "signal of another session") payload = whole(name, { ...right, session: random.uuid() }, VOID);
  else if (kind === "signal of another arming") {
    payload = whole(name, { ...right, epoch: right.epoch + random.pick([-1, 1, 7]) }, VOID);
  } else if (kind === "signal of another boot") {
    // Who says hello, or was seen to reboot, may be another boot than the one known so far; who is done may not.
    payload = whole(name, { ...right, bootId: random.uuid() }, name === "done" ? VOID : "another");
  } else payload = random.pick(shapeless(name, right));
  world.tell(`${machine.name}: ${kind}: ${name} ${JSON.stringify(payload)?.slice(0, 120)}`);
  run.signal(name, payload, 0);
}

type Right = Pick<HelloSignal, "session" | "epoch" | "bootId">;

function whole(name: string, ids: Right, mark: string): HelloSignal | DoneSignal | RebootedSignal {
  const bootId = mark === VOID && name === "hello" ? `${VOID}-${ids.bootId}` : ids.bootId;
  const at = new Date().toISOString();
  if (name === "hello") return { ...ids, bootId, at, firmware: null, uptimeSeconds: 1 };
  if (name === "rebooted") return { ...ids, how: `${mark}: somebody said so` };
  return { ...ids, outcome: "succeeded", reason: null, results: [resultOf(mark)] };
}

const resultOf = (mark: string): TaskResult => ({
  ...{ id: `1-${mark}`, name: mark, status: "succeeded", exitCode: 0, durationMs: 1, reason: null },
  ...{ findingSha256: null, logSha256: null },
});

/** What a form lets anybody type: nothing, another type, or one field that is not what it should be. */
function shapeless(name: string, right: Right): unknown[] {
  const good = whole(name, right, VOID);
  const bad = { text: VOID };
  const broken =
    name === "hello"
      ? [{ at: "soon" }, { at: null }, { firmware: bad }, { uptimeSeconds: VOID }]
      : name === "rebooted"
        ? [{ how: bad }, { how: [VOID] }]
        : [
            ...[{ results: bad }, { results: [bad] }, { results: null }, { outcome: VOID }, { reason: bad }],
            { results: [{ ...resultOf(VOID), exitCode: VOID }] },
            { results: [{ ...resultOf(VOID), reason: bad }] },
          ];
  const ids = [{ session: null }, { epoch: String(right.epoch) }, { bootId: 7 }, { bootId: null }];
  return [undefined, null, 7, VOID, [VOID], {}, ...[...ids, ...broken].map((wrong) => ({ ...good, ...wrong }))];
}

/** The machine was armed a moment ago, and somebody else resets it: its firmware spends the override at once. */
export function mayBeReset(machine: Machine): void {
  const { world } = machine;
  const fault = "override spent by a stranger's reset";
  if (!world.later.has(fault)) return;
  inWorld(() =>
    after(world.later.random.between(0, ARMED_MS), () => {
      if (!machine.bmc.isArmed || !world.later.does(fault, 0.7)) return;
      machine.strangerAt = elapsed();
      if (machine.power === "On") machine.reboot("a stranger, while it is armed");
      else machine.powerOn();
    }),
  );
}

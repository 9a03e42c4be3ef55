import type { Phase } from "../../../src/domain/ids.js";
import type { FaultSpec } from "../../../src/lab/bmc/faults/index.js";
import type { LabConfigInput } from "../../../src/lab/config.js";
import type { ProcessFaultsInput } from "../../../src/lab/process/faults.js";
import { ACTIONS, type ActionName } from "./actions.js";
import { Random } from "./random.js";

/** Seeds that share one set of servers, and so their kills and their clock. */
export const BATCH = 40;

/** Everything that the adversary of one seed does, and to whom. */
export interface Schedule {
  seed: number;
  targets: TargetSchedule[];
}

export interface TargetSchedule {
  machine: LabConfigInput["machines"][number];
  /** Sessions one after the other. */
  sessions: { action: ActionName; moves: Move[] }[];
}

/** A moment of a session: so long after its phase began. `start`: before the session is asked for. */
export interface Moment {
  phase: Phase | "start";
  afterMs: number;
}

export type Deed =
  | { do: "fault"; fault: FaultSpec }
  | { do: "machine"; faults: ProcessFaultsInput }
  | { do: "effect"; point: string; when: "before" | "after"; nth: number; then: { throw?: true; delayMs?: number } }
  | { do: "signals"; which: "hello" | "done" | "rebooted"; how: "late" | "twice" | "overtaken" }
  | { do: "signals again"; order: "as they were" | "reversed" }
  | { do: "wrong boot"; how: "disk" | "disk, override kept" | "network" }
  | { do: "strange reset"; type: "ForceRestart" | "PowerCycle" }
  | { do: "spend override" }
  | { do: "drop logins" }
  | { do: "signal"; name: "hello" | "done" | "rebooted"; forged: "rubbish" | "other session" | "true names" }
  | { do: "second hello" }
  | { do: "babble" }
  | { do: "abort" }
  | { do: "cancel" }
  | { do: "second start" }
  | { do: "release too early" };
export type Move = Moment & Deed;

/** What the whole batch suffers together; seconds since its sessions were started. */
export interface SharedSchedule {
  kills: { atS: number; victim: "serve" | "temporal" | "both" }[];
  /** For so long the server's disk is full, or it has no file handle left: for files of its data, and for connections. */
  scarce: { atS: number; forS: number; what: "disk" | "handles" }[];
  clock: { atS: number; ms: number }[];
  cuts: { atS: number; share: number }[];
}

const HOUR = 3_600_000;
/** Longer than an attack may last (`play.ts`), so that no time is shown twice: what is noted by the clock can be put in order again. */
const HALF_AN_HOUR = HOUR / 2;

export function scheduleOf(seed: number): Schedule {
  const random = new Random(seed);
  const targets = Array.from({ length: random.from(2, 3) }, (_, i) => targetOf(random, `s${seed}-${"abc"[i]}`));
  return { seed, targets };
}

/** Of the batch that the seed belongs to, so that a seed played alone meets the same kills. */
export function sharedScheduleOf(seed: number): SharedSchedule {
  const random = new Random(1_000_000_007 + Math.floor(seed / BATCH));
  const kills = Array.from({ length: random.from(1, 3) }, (_, i) => ({
    atS: 8 + 35 * i + random.from(0, 20),
    victim: random.pick(["serve", "serve", "temporal", "both"] as const),
  }));
  const clock = random.chance(0.5)
    ? [{ atS: random.from(5, 60), ms: random.pick([-HOUR, -HALF_AN_HOUR, HALF_AN_HOUR, HOUR]) }]
    : [];
  const cuts = Array.from({ length: random.from(1, 3) }, () => ({ atS: random.from(3, 90), share: 0.2 }));
  const scarce = (["disk", "handles"] as const).map((what) => ({
    atS: random.from(5, 70),
    forS: random.from(6, 12),
    what,
  }));
  return { kills, clock, cuts, scarce };
}

function targetOf(random: Random, name: string): TargetSchedule {
  const power = random.chance(0.15) ? "off" : "on";
  const machine: TargetSchedule["machine"] = {
    name,
    firmware: random.pick(["bios", "bios", "uefi"]),
    power,
    ignorePowerButton: power === "on" && random.chance(0.06),
    shutdown: { graceful: "15s", then: random.pick(["abort", "abort", "force"]) },
  };
  const session = () => {
    const action = random.pick(ACTIONS);
    return { action, moves: Array.from({ length: random.from(1, 4) }, () => moveOf(random)) };
  };
  return { machine, sessions: Array.from({ length: random.chance(0.3) ? 2 : 1 }, session) };
}

const AWAY = ["arming", "rebooting", "working"] as const;
const ANY = ["capturing", "arming", "rebooting", "working", "restoring", "verifying"] as const;

function moveOf(random: Random): Move {
  const at = (phases: readonly Moment["phase"][]): Moment => ({
    phase: random.pick(phases),
    afterMs: random.pick([0, 100, 500, 1_500, 4_000]),
  });
  const start: Moment = { phase: "start", afterMs: 0 };
  const kind = random.from(1, 100);
  if (kind <= 33) return { ...(random.chance(0.7) ? start : at(ANY)), do: "fault", fault: bmcFault(random) };
  if (kind <= 37) return { ...start, do: "wrong boot", how: random.pick(["disk", "disk, override kept", "network"]) };
  if (kind <= 46) return { ...start, do: "machine", faults: machineFault(random) };
  if (kind <= 58) return { ...start, ...effectOf(random) };
  if (kind <= 66) {
    const which = random.pick(["hello", "hello", "done", "rebooted"] as const);
    return { ...start, do: "signals", which, how: random.pick(["late", "twice", "overtaken"]) };
  }
  if (kind <= 69) {
    const phases = ["working", "restoring", "verifying"] as const;
    return { ...at(phases), do: "signals again", order: random.pick(["as they were", "reversed"]) };
  }
  if (kind <= 73) return { ...at(ANY), do: "strange reset", type: random.pick(["ForceRestart", "PowerCycle"]) };
  if (kind <= 76) return { ...at(["arming", "rebooting"]), do: "spend override" };
  if (kind <= 79) return { ...at(ANY), do: "drop logins" };
  if (kind <= 87) {
    const name = random.pick(["hello", "done", "rebooted"] as const);
    return { ...at(ANY), do: "signal", name, forged: random.pick(["rubbish", "other session", "true names"]) };
  }
  if (kind <= 90) return { ...at(["working"]), do: random.pick(["second hello", "babble"]) };
  if (kind <= 94) return { ...at(ANY), do: "abort" };
  if (kind <= 96) return { ...at(AWAY), do: "cancel" };
  // Later the first one may have ended by itself, and then the second is right to begin.
  if (kind <= 98) return { phase: random.pick(AWAY), afterMs: 0, do: "second start" };
  return { ...at(ANY), do: "release too early" };
}

/** What sessions ask of a BMC, and how many of these a fault may let pass: what nobody asks, nobody would meet. */
const ASKED = [
  [{ method: "GET" }, 12],
  [{ path: "Systems/1" }, 8],
  [{ method: "POST" }, 4],
  [{ method: "POST", path: "SessionService" }, 2],
  [{ path: "ComputerSystem.Reset" }, 2],
  [{ method: "PATCH" }, 1],
  [{ method: "PATCH", path: "Systems/1" }, 1],
  [{ method: "GET", path: "VirtualMedia" }, 1],
] as const;

/** Few at a time: what lasts is a machine that is out of order, and then a person is called, which is kept apart. */
function bmcFault(random: Random): FaultSpec {
  const [match, most] = random.pick(ASKED);
  const few = { after: random.from(0, most), times: random.from(1, 3) };
  switch (random.from(1, 12)) {
    case 1:
    case 2:
      return { fault: "drop", done: random.chance(0.5), match, ...few };
    case 3:
      return { fault: "drop", done: random.chance(0.5), match: { path: "ComputerSystem.Reset" }, times: few.times };
    case 4:
      return { fault: "status", status: random.pick([400, 409, 500, 503]), done: random.chance(0.4), match, ...few };
    case 5:
      return { fault: "status", status: random.pick([401, 412, 429, 502]), match, ...few };
    case 6:
      return { fault: "delay", ms: random.pick([500, 3_000, 20_000]), match, ...few };
    case 7:
      return { fault: "lost-reset", times: 1, after: random.from(0, 2) };
    case 8:
      return { fault: "lying-power", says: random.pick(["On", "Off", "PoweringOn", "PoweringOff"]), ...few };
    case 9:
      return { fault: "session-expiry", afterRequests: random.from(0, 9), times: random.from(1, 4) };
    case 10:
      return { fault: "stale-read", ...few };
    case 11:
      return { fault: "ignored-write", match: { method: "PATCH" }, times: 1, after: random.from(0, 1) };
    default:
      return random.pick<FaultSpec>([
        { fault: "etag", kind: random.pick(["weak", "stale", "none"]) },
        { fault: "settings-object" },
      ]);
  }
}

function machineFault(random: Random): ProcessFaultsInput {
  switch (random.from(1, 6)) {
    case 1:
      return { noFirstContact: true };
    case 2:
      return { hangsAfterScript: true };
    case 3:
      return { silentAfterMs: random.from(0, 4_000) };
    case 4:
    case 5:
      return { resetAfterMs: random.from(0, 4_000) };
    default:
      return { brokenDisk: true };
  }
}

/** The points that matter most here; every point in turn is the crash matrix's. */
const POINTS = [
  "journal.save",
  "journal.save",
  "journal.remove",
  "catalogue.keepSnapshot",
  "catalogue.putRecord",
  "catalogue.closeSnapshot",
  "nextBoot.arm",
  "power.reset",
  "nextBoot.restore",
  "media.restore",
  "activity.captureSnapshot",
  "activity.armTarget",
  "activity.ensureOff",
  "activity.ensureOn",
  "activity.offerTask",
  "activity.restoreBoot",
  "activity.verifyHome",
  "activity.closeSite",
  "bmc.POST ComputerSystem.Reset",
  "bmc.PATCH Systems",
] as const;

function effectOf(random: Random): Extract<Deed, { do: "effect" }> {
  const point = random.pick(POINTS);
  return {
    ...{ do: "effect", point },
    when: random.pick(["before", "after"]),
    // Most are passed once or twice by a session.
    nth: random.from(1, point === "journal.save" ? 4 : 2),
    then: random.chance(0.6) ? { throw: true } : { delayMs: random.pick([1_000, 5_000, 25_000]) },
  };
}

/** One line a move, as a person reads it. */
export function tell(schedule: Schedule): string {
  const lines = [`seed ${schedule.seed}`];
  for (const { machine, sessions } of schedule.targets) {
    const { name, firmware, power, shutdown, ignorePowerButton } = machine;
    lines.push(
      `  ${name}: ${firmware}, ${power}, then ${shutdown?.then}${ignorePowerButton ? ", deaf to its power button" : ""}`,
    );
    for (const { action, moves } of sessions) {
      lines.push(`    ${action}`);
      for (const { phase, afterMs, do: deed, ...what } of moves) {
        lines.push(`      ${phase}${afterMs ? ` + ${afterMs} ms` : ""}: ${deed} ${JSON.stringify(what)}`);
      }
    }
  }
  return lines.join("\n");
}

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../../src/domain/errors.js";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import type { PowerAction } from "../../../src/domain/session.js";
import type { LabTarget } from "../../../src/lab/lab.js";
import type { ProcessMachine } from "../../../src/lab/process/machine.js";
import { type PowerEvent, powerComplaints, powerLog } from "../../crash/power-log.js";
import { isStrange } from "../../support/stranger.js";
import { trueTime } from "./clock.js";
import type { World } from "./world.js";

/** After the record has said that it is home: only a reset that a stranger asked for may still be under way. */
const HOME_MS = 60_000;

/** For the tail of a workflow and for visibility, on a busy host. */
const LOOK_MS = 90_000;
const LOOK_AGAIN_MS = 1_000;

/** What must be so again when the last session of a target has ended. */
export interface Before {
  on: boolean;
  override: string;
  medium: string | null;
  order: string[];
  machineId: string | null;
  userFile: string;
}

export async function lookBefore({ bmc, machine }: LabTarget): Promise<Before> {
  await bmc.settled();
  const on = machine.isOn();
  return {
    on,
    override: overrideOf(bmc),
    medium: bmc.insertedImage,
    order: await machine.bootOrder(),
    machineId: on ? await machineIdOf(machine.homeUrl) : null,
    userFile: digestOf((machine as ProcessMachine).userFile),
  };
}

/** Of the lab's log, where something is wrong. */
const LINES_BEFORE = 40;

/**
 * Watches that the target's own system is never cut off by us unless its owner allows force (promise 8). Returns what was
 * seen. A stranger's resets are of other types, and what they cut is theirs.
 */
export function watchCuts(world: World, { name, bmc, machine, config }: LabTarget): string[] {
  const seen: string[] = [];
  const process = machine as ProcessMachine;
  const kill = process.kill.bind(process);
  process.kill = async () => {
    const last = bmc.journal.events.at(-1);
    const atHome = process.isOn() && process.boots.at(-1)?.cameOutAt === "home";
    if (atHome && config.shutdown.then === "abort" && last?.what === "kill" && last.why === "Reset ForceOff") {
      const before = world.labLog.linesOf(name).slice(-LINES_BEFORE).join("\n    ");
      seen.push(`its own system was forced off at ${last.at}, which its owner forbids:\n    ${before}`);
    }
    await kill();
  };
  return seen;
}

/**
 * The promises that are broken for a target whose sessions have all ended, in sentences. A workflow closes, and the lab's log
 * is written, a moment after the record has its end: what is still so after a while is said.
 */
export async function judge(world: World, target: LabTarget, before: Before, records: SessionRecord[]) {
  await comeHome(target, before);
  for (const end = Date.now() + LOOK_MS; ; ) {
    const broken = [
      ...records.flatMap(judgeRecord),
      ...(await judgeMachine(target, before)),
      ...judgePower(world, target, before, records),
      ...(await judgeMemory(world, target.name, records).catch((error: unknown) => [messageOf(error)])),
    ];
    if (broken.length === 0 || Date.now() > end) return broken;
    await sleep(LOOK_AGAIN_MS);
  }
}

function judgeRecord(record: SessionRecord): string[] {
  const broken: string[] = [];
  const say = (what: string) => broken.push(`${record.session}: ${what}`);
  if (record.ending !== "restored") say(`it ended ${record.ending}`);
  if (record.endedAt === null) say("its record has no end");
  if (!record.untouched && !record.home.proved) say("it ended restored without a proof of home");
  if (record.restore.differences.length > 0)
    say(`it ended with differences ${JSON.stringify(record.restore.differences)}`);
  const phases = record.phases.map((phase) => phase.name);
  if (phases.at(-1) !== "restored") say(`its last phase is ${phases.at(-1)}`);
  if (record.phases.some((phase) => phase.endedAt === null)) say("a phase has no end");
  return broken;
}

async function comeHome({ bmc, machine }: LabTarget, before: Before): Promise<void> {
  await bmc.settled();
  const end = Date.now() + HOME_MS;
  while (before.on && (await machineIdOf(machine.homeUrl)) === null && Date.now() < end) await sleep(500);
}

async function judgeMachine({ bmc, machine }: LabTarget, before: Before): Promise<string[]> {
  const broken: string[] = [];
  const differ = (what: string, was: unknown, is: unknown) => {
    if (JSON.stringify(was) !== JSON.stringify(is))
      broken.push(`${what} was ${JSON.stringify(was)}, is ${JSON.stringify(is)}`);
  };
  await bmc.settled();
  const machineId = before.on ? await machineIdOf(machine.homeUrl) : null;
  differ("the power", before.on, machine.isOn());
  differ("the override", before.override, overrideOf(bmc));
  differ("the medium", before.medium, bmc.insertedImage);
  differ("the boot order", before.order, await machine.bootOrder());
  if (before.machineId !== null) differ("what answers at home", before.machineId, machineId);
  differ("the user's file", before.userFile, digestOf((machine as ProcessMachine).userFile));
  return broken;
}

/** The records' power actions against the BMC's own log, both ways. */
function judgePower(world: World, { name }: LabTarget, before: Before, records: SessionRecord[]): string[] {
  const log = powerLog(world.labLog.linesOf(name), isStrange);
  const { jumps } = world.met();
  const actions = records.flatMap((record) => record.powerActions);
  const inOrder = actions.map((action) => ({ ...action, at: trueTime(action.at, world.beganMs, jumps) }));
  const complaints = powerComplaints(before.on ? "On" : "Off", log, inOrder);
  return complaints.length === 0 ? [] : [...complaints, story(log.events, inOrder)];
}

/** Both logs of the power as one, for whoever has to find out. */
function story(events: PowerEvent[], actions: PowerAction[]): string {
  const told = [
    ...events.map(({ at, what, reset }) => `${at} BMC: ${what}${reset === null ? "" : ` by Reset ${reset}`}`),
    ...actions.map(({ at, what, why }) => `${at} record: ${what} (${why})`),
  ];
  return ["the power's story:", ...told.sort()].join("\n      ");
}

/** After every time. */
const NEVER = "9999";

/**
 * A session that looks while a stranger has the machine off cannot tell it from one that its owner turned off: then that is home.
 * By the lab's own log of the power, and by Temporal's clock, which does not jump.
 */
export function asTaught(before: Before, { bmc }: LabTarget, records: SessionRecord[]): Before {
  const { events } = bmc.journal;
  const offs = events.flatMap(({ at, what, why }, i) => {
    if (what !== "kill" || !isStrange(why.replace("Reset ", ""))) return [];
    return [{ from: at, to: events.slice(i).find((event) => event.what === "start")?.at ?? NEVER }];
  });
  const taught = records.some(({ restore, phases }) => {
    const looked = phases.find(({ name }) => name === "capturing");
    if (restore.before?.power !== "Off" || !looked) return false;
    return offs.some(({ from, to }) => from <= (looked.endedAt ?? NEVER) && to >= looked.startedAt);
  });
  return taught ? { ...before, on: false, machineId: null } : before;
}

/** One record a session, no session without one; Temporal says the same; and the site has forgotten the target. */
async function judgeMemory(world: World, target: string, records: SessionRecord[]): Promise<string[]> {
  const broken: string[] = [];
  const ids = records.map((record) => record.session).sort();
  const { items } = await world.client.sessions({ target, limit: 100 });
  const kept = items.map((item) => item.session).sort();
  if (JSON.stringify(kept) !== JSON.stringify(ids)) broken.push(`the sessions ${ids} have the records ${kept}`);
  const runs: string[] = [];
  for await (const run of world.temporal.workflow.list({ query: `WorkflowId = "${sessionWorkflowId(target)}"` })) {
    runs.push(run.runId);
    if (run.status.name === "COMPLETED") continue;
    const pending = await world.pending(target).catch(messageOf);
    broken.push(`Temporal has the session ${run.runId} as ${run.status.name}: ${JSON.stringify(pending)}`);
  }
  if (JSON.stringify(runs.sort()) !== JSON.stringify(ids)) broken.push(`the sessions ${ids} are ${runs} to Temporal`);
  const open = world.journal().filter((name) => name.startsWith(`${target}.json`));
  if (open.length > 0) broken.push(`the site's journal still has ${open}`);
  return broken;
}

const overrideOf = (bmc: LabTarget["bmc"]): string => `${bmc.override.enabled} ${bmc.override.target}`;

const digestOf = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

async function machineIdOf(url: string): Promise<string | null> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
  return answer?.ok ? (((await answer.json()) as { machineId?: string }).machineId ?? null) : null;
}

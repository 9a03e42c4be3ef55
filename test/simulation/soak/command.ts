import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import proto from "@temporalio/proto";
import { messageOf } from "../../../src/domain/errors.js";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import { within } from "../real/bounds.js";
import { World } from "../real/world.js";

const MAX_EVENTS = 100;
const SAMPLE_MS = 5_000;
/** What a run says of itself on its way, so that one that is cut short tells something too. */
const TOLD_MS = 60_000;
/** For one session, on a busy host. */
const SESSION_MS = 10 * 60_000;

const { values } = parseArgs({
  options: { sessions: { type: "string", default: "3000" }, "at-once": { type: "string", default: "20" } },
});
const wanted = Number(values.sessions);
const names = Array.from({ length: Number(values["at-once"]) }, (_, i) => `soak-${i + 1}`);

interface Sample {
  sessions: number;
  [figure: string]: number;
}

/** MiB of the resident set, and open files, of one process. */
function figuresOf(who: string, pid: number): Record<string, number> {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return { [`${who} MiB`]: pages / 256, [`${who} files`]: readdirSync(`/proc/${pid}/fd`).length };
}

/** Least squares; per 1,000 sessions. */
function slope(samples: Sample[], figure: string): number {
  const xs = samples.map((sample) => sample.sessions / 1000);
  const ys = samples.map((sample) => sample[figure] ?? 0);
  const mean = (all: number[]) => all.reduce((a, b) => a + b, 0) / all.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const top = xs.reduce((sum, x, i) => sum + (x - mx) * ((ys[i] ?? 0) - my), 0);
  return top / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}

const DOCUMENTS = `kind: Action
name: soak
image: noise
mode: active
tasks: [{name: look, script: "echo '{}'"}]
`;
const world = await World.start({ machines: names.map((name) => ({ name })) }, { documents: DOCUMENTS });
const samples: Sample[] = [];
const broken: string[] = [];
let started = 0;
let done = 0;
let longest = 0;

/** A target whose session did not come home is of no more use: the others go on. */
async function oneAfterTheOther(target: string): Promise<void> {
  try {
    while (started < wanted) {
      started += 1;
      await within(SESSION_MS, "a session has not ended", () => one(target));
      done += 1;
    }
  } catch (error) {
    broken.push(`${target}: ${messageOf(error)}`);
  }
}

async function one(target: string): Promise<void> {
  const session = await start(target);
  const record = await ended(session);
  if (record.ending !== "restored" || record.outcome !== "succeeded") {
    broken.push(`${session}: ${record.ending}, ${record.outcome}: ${record.failure?.message}`);
  }
  const { historyLength } = await world.temporal.workflow.getHandle(sessionWorkflowId(target), session).describe();
  longest = Math.max(longest, historyLength);
  if (historyLength >= MAX_EVENTS)
    broken.push(`${session} has ${historyLength} events: ${await eventsOf(session, target)}`);
}

/** How often each type of event is in the session's history. */
async function eventsOf(session: string, target: string): Promise<string> {
  const { events } = await world.temporal.workflow.getHandle(sessionWorkflowId(target), session).fetchHistory();
  const counts = new Map<string, number>();
  for (const { eventType } of events ?? []) {
    const type = proto.temporal.api.enums.v1.EventType[eventType ?? 0]?.replace("EVENT_TYPE_", "").toLowerCase() ?? "?";
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return [...counts].map(([type, count]) => `${count} ${type}`).join(", ");
}

/** The record has its end a moment before the session gives the target free. */
async function start(target: string): Promise<string> {
  for (;;) {
    const { started: taken, refused } = await world.client.start({ target, action: "soak", requestedBy: "the soak" });
    if (taken[0]) return taken[0].session;
    if (refused[0]?.problem.code !== "busy") throw new Error(refused[0]?.problem.detail);
    await sleep(200);
  }
}

async function ended(session: string): Promise<SessionRecord> {
  for (;;) {
    await sleep(500);
    const record = await world.client.session(session).catch(() => null);
    if (record?.ending === "stranded") throw new Error(`${session} is stranded: ${record.stranded?.message}`);
    if (record?.endedAt) return record;
  }
}

function tell(): void {
  const { sessions = 0, ...figures } = samples.at(-1) ?? {};
  const said = Object.entries(figures).map(([figure, value]) => `${figure} ${value.toFixed(0)}`);
  console.log(
    `${new Date().toISOString()} ${sessions} of ${wanted} sessions, ${broken.length} broken; ${said.join(", ")}`,
  );
}

try {
  const began = Date.now();
  const sampler = setInterval(() => {
    const { serve, temporal, lab } = world.pids;
    try {
      samples.push({
        sessions: done,
        ...figuresOf("serve", serve),
        ...figuresOf("temporal", temporal),
        ...figuresOf("lab", lab),
      });
    } catch {
      // A process that ended is in the world's trouble.
    }
  }, SAMPLE_MS);
  const teller = setInterval(tell, TOLD_MS);
  await Promise.all(names.map(oneAfterTheOther));
  clearInterval(sampler);
  clearInterval(teller);
  const settled = samples.filter((sample) => sample.sessions > done / 3);
  const seconds = (Date.now() - began) / 1000;
  console.log(
    `${done} sessions in ${seconds.toFixed(0)} s, ${names.length} at once; the longest history has ${longest} events`,
  );
  for (const figure of Object.keys(samples[0] ?? {}).filter((key) => key !== "sessions")) {
    const [first, last] = [settled[0]?.[figure] ?? 0, settled.at(-1)?.[figure] ?? 0];
    const per = settled.length > 2 ? slope(settled, figure).toFixed(2) : "too few samples";
    console.log(
      `${figure.padEnd(16)} ${first.toFixed(1).padStart(9)} to ${last.toFixed(1).padStart(9)}   ${per} per 1,000 sessions`,
    );
  }
} finally {
  broken.push(...world.trouble);
  await world.close();
}
for (const line of broken.slice(0, 100)) console.log(line);
process.exit(broken.length === 0 && done > 0 ? 0 : 1);

import { PitstopError } from "../../domain/errors.js";
import { type Answer, faultOf, messagesOf } from "./faults.js";
import type { Machine } from "./machine.js";
import { Task } from "./resources.js";

/** Message ids of the Base registry and of vendors: the change is taken, and shows after a reset. */
const AFTER_RESET = /(Reset|Reboot|Restart)(Required|Pending)|ApplyOnReset|PendingReboot|OperationQueued/i;

/** DSP0268 Task.TaskState: the work has ended, well or not. */
const ENDED_WELL = ["Completed"];
const ENDED_BADLY = ["Exception", "Killed", "Cancelled", "Interrupted"];

/** Where a service that took a change for later tells of it. */
export interface Later {
  /** Path of the task, job or monitor; null where the answer names none. */
  task: string | null;
}

/** `laterOf` tells whether an answer took the change for later (202, a task, a job, an apply time); null: it is done. */
export function laterOf(machine: Machine, answer: Answer): Later | null {
  const location = answer.headers.get("location") ?? linkIn(answer.body);
  const isTask = location !== null && /(task|job)/i.test(location);
  const said = messagesOf(answer.body).some(({ id }) => AFTER_RESET.test(id));
  if (answer.status !== 202 && !isTask && !said) return null;
  return { task: location === null ? null : machine.client.transport.pathOf(location) };
}

/** A body that is a task itself names its own path. */
function linkIn(body: Answer["body"]): string | null {
  const link = body?.["@odata.id"];
  return typeof link === "string" && body?.TaskState !== undefined ? link : null;
}

/** Pauses between two looks at a task, in milliseconds; the last one repeats. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 5_000];

/**
 * `followTask` waits for a task for at most `limitMs`. Gives `running` where it goes on, or waits for the next boot.
 * Errors: `refused` or `unreachable` with the task's own words where it failed.
 */
export async function followTask(
  machine: Machine,
  { task }: Later,
  did: string,
  limitMs: number,
): Promise<"done" | "running"> {
  if (task === null) return "running";
  let waitedMs = 0;
  for (let i = 0; ; i++) {
    const answer = await machine.client.send({ method: "GET", path: task, again: "lost" });
    const state = stateOf(answer);
    if (state === "failed")
      throw faultOf({ ...answer, status: Math.max(answer.status, 400), body: saidBy(answer) }, did);
    if (state === "done") return "done";
    const pauseMs = PAUSES_MS[Math.min(i, PAUSES_MS.length - 1)] ?? 0;
    if (waitedMs + pauseMs > limitMs) return "running";
    waitedMs += pauseMs;
    await machine.sleep(pauseMs);
  }
}

/** A monitor that is gone says that the work is over; the caller's read-back says how. */
function stateOf({ status, body }: Answer): "done" | "running" | "failed" {
  if (status === 404 || status === 410) return "done";
  if (status >= 400) return "failed";
  const { TaskState: state } = Task.parse(body ?? {});
  if (state !== null && ENDED_BADLY.includes(state)) return "failed";
  if (state !== null) return ENDED_WELL.includes(state) ? "done" : "running";
  return status === 202 ? "running" : "done";
}

/** A task keeps its messages in `Messages`, where an error has `@Message.ExtendedInfo`. */
const saidBy = ({ status, body }: Answer): Answer["body"] =>
  status >= 400 ? body : { "@Message.ExtendedInfo": Task.parse(body ?? {}).Messages ?? [] };

/** `notYet` is the error of a task that did not end in time. */
export const notYet = (machine: Machine, did: string, limitMs: number): PitstopError =>
  new PitstopError(
    "unreachable",
    `${machine.at} is still at work on ${did} after ${Math.round(limitMs / 1000)} s; it is read again later.`,
  );

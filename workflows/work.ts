import { ApplicationFailure, condition } from "@temporalio/workflow";
import type { Outcome } from "../src/domain/ids.js";
import type { Failure, PlannedTask, TaskResult } from "../src/domain/session.js";
import { type SessionContext, stopIfCutShort } from "./context.js";

export interface WorkResult {
  outcome: Outcome;
  failure: Failure | null;
}

/** The work in the image. Active: each task is offered in turn. Passive: the image says when it is done. */
export async function work(ctx: SessionContext): Promise<WorkResult> {
  ctx.log.enter("working");
  return ctx.plan.action?.mode === "passive" ? await passive(ctx) : await active(ctx);
}

async function passive({ inbox, log }: SessionContext): Promise<WorkResult> {
  await condition(() => inbox.done !== null);
  const done = inbox.done;
  if (!done) throw ApplicationFailure.nonRetryable("The done message was lost.", "internal");
  for (const result of done.results) {
    log.tasks.push(result);
    log.spentByMachine(result.durationMs);
  }
  if (done.outcome === "succeeded") return { outcome: "succeeded", failure: null };
  const bad = done.results.find((result) => result.status !== "succeeded");
  return {
    outcome: "failed",
    failure: bad ? taskFailure(bad) : { code: "taskFailed", message: done.reason ?? "The image reported a failure." },
  };
}

async function active(ctx: SessionContext): Promise<WorkResult> {
  const { plan, inbox, log } = ctx;
  const planned = plan.action?.tasks ?? [];
  // Read anew each time, and nothing taken out: what is not done when the target reboots is wanted again after it.
  const isDone = (task: PlannedTask) => log.tasks.some((done) => done.id === task.id && done.status === "succeeded");
  for (;;) {
    const task = [...planned, ...inbox.supplied.flatMap((one) => one.task ?? [])].find((one) => !isDone(one));
    const open = plan.action?.interactive === true && !inbox.supplied.some((one) => one.last);
    const heard = inbox.supplied.length;
    if (task) {
      const result = await offer(ctx, task);
      log.tasks.push(result);
      log.spentByMachine(result.durationMs);
      // A task that ended because the work was cut short says nothing of the work: who cut it does.
      if (result.status !== "succeeded") stopIfCutShort();
      if (result.status !== "succeeded") return { outcome: outcomeOf(result), failure: taskFailure(result) };
    } else if (inbox.done) {
      const gaveUp = inbox.done.outcome === "failed";
      return gaveUp
        ? { outcome: "failed", failure: { code: "taskFailed", message: inbox.done.reason ?? "The image gave up." } }
        : { outcome: "succeeded", failure: null };
    } else if (open) {
      await condition(() => inbox.supplied.length > heard || inbox.done !== null);
    } else {
      return { outcome: "succeeded", failure: null };
    }
  }
}

async function offer({ plan, site }: SessionContext, task: PlannedTask): Promise<TaskResult> {
  // The agent's own time-out comes first; this bound is for an agent that went silent. Attempts: a site that restarts
  // offers again, and the agent answers a task that it has done already from its spool.
  const limitMs = task.timeoutMs + plan.limits.leaseMs + 60_000;
  return await site("offerTask", { task }, { summary: `Task ${task.name}`, limitMs, attempts: 20 });
}

const outcomeOf = (result: TaskResult): Outcome => (result.status === "timedOut" ? "timedOut" : "failed");

function taskFailure(result: TaskResult): Failure {
  const how =
    result.status === "failed"
      ? `failed with exit code ${result.exitCode ?? "unknown"}`
      : result.status === "timedOut"
        ? "ran into its time-out"
        : "was stopped";
  return {
    code: "taskFailed",
    message: `The task ${result.name} ${how}${result.reason ? `: ${result.reason}` : ""}; its log says more.`,
  };
}

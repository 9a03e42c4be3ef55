import { ApplicationFailure, condition } from "@temporalio/workflow";
import type { PlannedTask, TaskResult } from "../src/domain/session.js";
import type { Completion, WorkResult, WorkSeen } from "../src/ways/completion.js";
import { completionOf } from "../src/ways/completions.js";
import { type SessionContext, stopIfCutShort } from "./context.js";

/** The work in the image, up to what its completion takes for the end. */
export async function work(ctx: SessionContext): Promise<Omit<WorkResult, "results">> {
  const { log } = ctx;
  log.enter("working");
  const completion = completionBy(ctx);
  let last: TaskResult | null = null;
  const next = () => completion.next(seen(ctx, last));
  for (;;) {
    const step = next();
    switch (step.is) {
      case "waiting":
        await condition(() => next().is !== "waiting");
        break;
      case "task":
        last = await offer(ctx, completion, step.task);
        keep(ctx, last);
        // A task that ended because the work was cut short says nothing of the work: who cut it does.
        if (last.status !== "succeeded") stopIfCutShort();
        break;
      case "over":
        for (const result of step.work.results) keep(ctx, result);
        return step.work;
    }
  }
}

/** Bound of the work from its hello to its end, milliseconds. */
export const workLimitMs = (ctx: SessionContext): number => completionBy(ctx).workMs(ctx.plan.limits);

const completionBy = ({ plan }: SessionContext): Completion => completionOf(plan.action?.mode ?? "active");

const seen = ({ plan, log, inbox }: SessionContext, last: TaskResult | null): WorkSeen => ({
  tasks: [...(plan.action?.tasks ?? []), ...inbox.supplied.flatMap(({ task }) => task ?? [])],
  results: log.tasks,
  last,
  open: plan.action?.interactive === true && !inbox.supplied.some((one) => one.last),
  done: inbox.done,
});

function keep({ log }: SessionContext, result: TaskResult): void {
  log.tasks.push(result);
  log.spentByMachine(result.durationMs);
}

async function offer({ plan, site }: SessionContext, completion: Completion, task: PlannedTask): Promise<TaskResult> {
  const limitMs = completion.taskMs(task, plan.limits);
  if (limitMs === null) {
    throw ApplicationFailure.nonRetryable(`An action of the mode ${completion.mode} offers no task.`, "internal");
  }
  // A site that restarts offers again, and the agent answers a task that it has done already from its spool.
  return await site("offerTask", { task }, { summary: `Task ${task.name}`, limitMs, attempts: 20 });
}

import type { Outcome } from "../domain/ids.js";
import type { DoneSignal, Failure, PlannedLimits, PlannedTask, SessionPlan, TaskResult } from "../domain/session.js";

/** What became of the work. `results`: those that came with its end, and that the session does not have yet. */
export interface WorkResult {
  outcome: Outcome;
  failure: Failure | null;
  results: TaskResult[];
}

/** What a session knows of its work. */
export interface WorkSeen {
  /** Those of the plan, then those that people supplied. */
  tasks: readonly PlannedTask[];
  /** Every result so far, also of boots before a reboot that the action resumed from. */
  results: readonly TaskResult[];
  /** The result of the task that was offered last in this boot. */
  last: TaskResult | null;
  /** People may still supply tasks. */
  open: boolean;
  done: Pick<DoneSignal, "outcome" | "reason" | "results"> | null;
}

/** What the session does next: offers a task, waits for the image or for people, or goes home. */
export type Next = { is: "task"; task: PlannedTask } | { is: "waiting" } | { is: "over"; work: WorkResult };

/**
 * How a session learns that the image is done, and by what that is bounded. Each completion is one file. Workflows replay these
 * functions: they are pure, and their files import types only.
 */
export interface Completion {
  readonly mode: NonNullable<SessionPlan["action"]>["mode"];
  next(seen: WorkSeen): Next;
  /** Bound of the work from the hello to its end, in milliseconds. */
  workMs(limits: PlannedLimits): number;
  /** Bound of one offered task, in milliseconds; null where the session offers none. */
  taskMs(task: PlannedTask, limits: PlannedLimits): number | null;
}

export const over = (outcome: Outcome, failure: Failure | null, results: TaskResult[] = []): Next => ({
  is: "over",
  work: { outcome, failure, results },
});

export function taskFailure(result: TaskResult): Failure {
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

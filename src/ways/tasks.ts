import { type Completion, over, taskFailure, type WorkSeen } from "./completion.js";

/** For a gateway that hears of a task's end only when the agent polls again, in milliseconds. */
const LAST_WORD_MS = 60_000;

/** The mode `active`: the session offers one task after the other, and the last result ends the work. */
export const tasks: Completion = {
  mode: "active",
  next(seen) {
    const { last, done } = seen;
    if (last && last.status !== "succeeded") {
      return over(last.status === "timedOut" ? "timedOut" : "failed", taskFailure(last));
    }
    const task = nextTask(seen);
    if (task) return { is: "task", task };
    if (done?.outcome === "failed") {
      return over("failed", { code: "taskFailed", message: done.reason ?? "The image gave up." });
    }
    return done || !seen.open ? over("succeeded", null) : { is: "waiting" };
  },
  workMs: ({ workMs }) => workMs,
  // The agent's own time-out comes first. This bound is for an agent that went silent.
  taskMs: ({ timeoutMs }, { leaseMs }) => timeoutMs + leaseMs + LAST_WORD_MS,
};

/** Nothing is taken out of the list: after a reboot the session wants again what is not done. */
const nextTask = ({ tasks: all, results }: WorkSeen) =>
  all.find(({ id }) => !results.some((done) => done.id === id && done.status === "succeeded"));

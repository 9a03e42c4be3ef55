import { describe, expect, it } from "vitest";
import { completionOf } from "../../src/ways/completions.js";
import { tasks } from "../../src/ways/tasks.js";
import { ended, LIMITS, nothing, task } from "./completion-help.js";

const [a, b] = [task("a"), task("b")];
const two = { ...nothing, tasks: [a, b] };
const succeeded = { is: "over", work: { outcome: "succeeded", failure: null, results: [] } };

describe("the completion by tasks", () => {
  it("is that of the mode active", () => expect(completionOf("active")).toBe(tasks));

  it("offers each task in turn, and its last result ends the work", () => {
    expect(tasks.next(two)).toEqual({ is: "task", task: a });
    expect(tasks.next({ ...two, results: [ended("a")], last: ended("a") })).toEqual({ is: "task", task: b });
    expect(tasks.next({ ...two, results: [ended("a"), ended("b")], last: ended("b") })).toEqual(succeeded);
    expect(tasks.next(nothing)).toEqual(succeeded);
  });

  it("offers a task again that a boot before did not finish", () => {
    expect(tasks.next({ ...two, results: [ended("a"), ended("b", "cancelled")] })).toEqual({ is: "task", task: b });
  });

  it.each([
    ["failed", "failed", "failed with exit code 1"],
    ["timedOut", "timedOut", "ran into its time-out"],
    ["cancelled", "failed", "was stopped"],
  ] as const)("a task that %s ends the work as %s", (status, outcome, words) => {
    const last = ended("a", status);
    expect(tasks.next({ ...two, results: [last], last })).toMatchObject({
      is: "over",
      work: { outcome, failure: { code: "taskFailed", message: `The task a ${words}; its log says more.` } },
    });
  });

  it("waits while people may still supply tasks, and ends by the image's word", () => {
    const open = { ...nothing, open: true };
    expect(tasks.next(open)).toEqual({ is: "waiting" });
    expect(tasks.next({ ...open, done: { outcome: "succeeded", reason: null, results: [] } })).toEqual(succeeded);
    expect(tasks.next({ ...open, done: { outcome: "failed", reason: "No disk.", results: [] } })).toMatchObject({
      work: { outcome: "failed", failure: { message: "No disk." } },
    });
  });

  it("is bounded by the action's work, and each task by its time-out and the agent's lease", () => {
    expect(tasks.workMs(LIMITS)).toBe(3_000);
    expect(tasks.taskMs(a, LIMITS)).toBe(20 + 400 + 60_000);
  });
});

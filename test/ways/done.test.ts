import { describe, expect, it } from "vitest";
import { completionOf } from "../../src/ways/completions.js";
import { done } from "../../src/ways/done.js";
import { ended, LIMITS, nothing, task } from "./completion-help.js";

const said = (outcome: "succeeded" | "failed", results = [ended("a")], reason: string | null = null) =>
  done.next({ ...nothing, tasks: [task("a")], done: { outcome, reason, results } });

describe("the completion by done", () => {
  it("is that of the mode passive", () => expect(completionOf("passive")).toBe(done));

  it("waits for the image's word, whatever tasks there are", () => {
    expect(done.next({ ...nothing, tasks: [task("a")] })).toEqual({ is: "waiting" });
  });

  it("takes the image's results with its word", () => {
    expect(said("succeeded")).toEqual({
      is: "over",
      work: { outcome: "succeeded", failure: null, results: [ended("a")] },
    });
  });

  it("tells of the task that failed, else of the image's reason", () => {
    expect(said("failed", [ended("a"), ended("b", "failed")])).toMatchObject({
      work: { outcome: "failed", failure: { message: expect.stringContaining("The task b failed") } },
    });
    expect(said("failed", [], "No memory.")).toMatchObject({ work: { failure: { message: "No memory." } } });
    expect(said("failed", [])).toMatchObject({ work: { failure: { message: "The image reported a failure." } } });
  });

  it("is bounded by the action's work alone", () => {
    expect(done.workMs(LIMITS)).toBe(3_000);
    expect(done.taskMs(task("a"), LIMITS)).toBeNull();
  });
});

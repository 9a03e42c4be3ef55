import { type Completion, over, taskFailure } from "./completion.js";

/** The mode `passive`: the image works by itself, says `done`, and brings its results with that word. */
export const done: Completion = {
  mode: "passive",
  next({ done: said }) {
    if (!said) return { is: "waiting" };
    if (said.outcome === "succeeded") return over("succeeded", null, said.results);
    const bad = said.results.find(({ status }) => status !== "succeeded");
    const reported = { code: "taskFailed", message: said.reason ?? "The image reported a failure." };
    return over("failed", bad ? taskFailure(bad) : reported, said.results);
  },
  workMs: ({ workMs }) => workMs,
  taskMs: () => null,
};

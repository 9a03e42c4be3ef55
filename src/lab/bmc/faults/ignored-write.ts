import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Match, matches, Times } from "./match.js";

/** A write is answered as done, and nothing of it happens: only who reads it back sees that. */
export const IgnoredWriteFault = z.strictObject({
  fault: z.literal("ignored-write"),
  match: Match.optional(),
  times: Times,
  after: After,
});

export function ignoredWriteFault(spec: z.infer<typeof IgnoredWriteFault>): Fault {
  const left = countdown(spec.times, spec.after);
  const isWrite = (method: string) => method === "PATCH" || method === "POST";
  return {
    // A login is no write of the machine's state.
    intercept: async (seen) =>
      isWrite(seen.method) && !seen.path.includes("SessionService") && matches(spec.match, seen) && left()
        ? { answer: 204, done: false }
        : null,
  };
}

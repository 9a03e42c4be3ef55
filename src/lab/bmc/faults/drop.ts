import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Match, matches, Times } from "./match.js";

/** Closes the socket without an answer; with `done` the request has taken effect, which the client cannot know. */
export const DropFault = z.strictObject({
  fault: z.literal("drop"),
  done: z.boolean().default(false),
  match: Match.optional(),
  times: Times,
  after: After,
});

export function dropFault(spec: z.infer<typeof DropFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return {
    intercept: async (seen) => (matches(spec.match, seen) && left() ? { drop: true, done: spec.done } : null),
  };
}

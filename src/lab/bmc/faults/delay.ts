import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Match, matches, Times } from "./match.js";

/** Answers late: at most ten minutes, longer than any client waits. */
export const DelayFault = z.strictObject({
  fault: z.literal("delay"),
  ms: z.number().int().min(1).max(600_000),
  match: Match.optional(),
  times: Times,
  after: After,
});

export function delayFault(spec: z.infer<typeof DelayFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return { delaysMs: (seen) => (matches(spec.match, seen) && left() ? spec.ms : 0) };
}

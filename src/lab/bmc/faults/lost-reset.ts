import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Times } from "./match.js";

/** A Reset is accepted, and nothing happens. */
export const LostResetFault = z.strictObject({
  fault: z.literal("lost-reset"),
  type: z.string().max(64).optional(),
  times: Times,
  after: After,
});

export function lostResetFault(spec: z.infer<typeof LostResetFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return { losesReset: (type) => (spec.type === undefined || spec.type === type) && left() };
}

import { z } from "zod";
import type { Fault } from "./fault.js";
import { countdown, Times } from "./match.js";

/** A Reset is accepted, and nothing happens. */
export const LostResetFault = z.strictObject({
  fault: z.literal("lost-reset"),
  type: z.string().max(64).optional(),
  times: Times,
});

export function lostResetFault(spec: z.infer<typeof LostResetFault>): Fault {
  const left = countdown(spec.times);
  return { losesReset: (type) => (spec.type === undefined || spec.type === type) && left() };
}

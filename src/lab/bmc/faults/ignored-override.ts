import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Times } from "./match.js";

/** The firmware boots its disk although an override is armed. With `kept` the BMC goes on showing the override. */
export const IgnoredOverrideFault = z.strictObject({
  fault: z.literal("ignored-override"),
  kept: z.boolean().default(false),
  times: Times,
  after: After,
});

export function ignoredOverrideFault(spec: z.infer<typeof IgnoredOverrideFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return { ignoresOverride: () => (left() ? (spec.kept ? "kept" : "spent") : null) };
}

import { z } from "zod";
import type { Fault } from "./fault.js";

/** The BMC has no one-time override: it offers `Continuous` and `Disabled`, and refuses `Once`. */
export const ContinuousOnlyFault = z.strictObject({ fault: z.literal("continuous-only") });

export function continuousOnlyFault(): Fault {
  return { knowsNoOnce: true };
}

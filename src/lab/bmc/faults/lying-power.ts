import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Times } from "./match.js";

/** PowerState says this, whatever the machine does. */
export const LyingPowerFault = z.strictObject({
  fault: z.literal("lying-power"),
  says: z.enum(["On", "Off", "PoweringOn", "PoweringOff"]),
  times: Times,
  after: After,
});

export function lyingPowerFault(spec: z.infer<typeof LyingPowerFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return {
    show: (_path, body) =>
      "PowerState" in body && "Boot" in body && left() ? { ...body, PowerState: spec.says } : body,
  };
}

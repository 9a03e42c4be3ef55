import { z } from "zod";
import type { Fault } from "./fault.js";
import { countdown, type Seen, Times } from "./match.js";

/** Every session ends after so many requests, whatever its time-out says. */
export const SessionExpiryFault = z.strictObject({
  fault: z.literal("session-expiry"),
  afterRequests: z.number().int().min(0).max(1_000_000),
  times: Times,
});

export function sessionExpiryFault(spec: z.infer<typeof SessionExpiryFault>): Fault {
  const left = countdown(spec.times);
  let seenRequests = 0;
  return {
    endsSessions: (seen: Seen) => {
      if (seen.path.includes("SessionService")) return false;
      seenRequests += 1;
      if (seenRequests <= spec.afterRequests || !left()) return false;
      seenRequests = 0;
      return true;
    },
  };
}

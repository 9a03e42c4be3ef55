import { z } from "zod";
import type { Fault, JsonObject } from "./fault.js";
import { After, countdown, Times } from "./match.js";

/** Answers with what was so when it was last asked before the fault began: a BMC that caches what it shows of the system. */
export const StaleReadFault = z.strictObject({
  fault: z.literal("stale-read"),
  times: Times,
  after: After,
});

export function staleReadFault(spec: z.infer<typeof StaleReadFault>): Fault {
  const left = countdown(spec.times, spec.after);
  const shown = new Map<string, JsonObject>();
  return {
    show: (path, body) => {
      if (!("PowerState" in body && "Boot" in body)) return body;
      const before = shown.get(path);
      if (left() && before) return before;
      shown.set(path, body);
      return body;
    },
  };
}

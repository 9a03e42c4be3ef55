import { z } from "zod";
import type { Fault } from "./fault.js";

/** `weak`: W/ ETags, accepted as they are shown. `stale`: no ETag is ever accepted. `none`: none is shown. */
export const EtagFault = z.strictObject({
  fault: z.literal("etag"),
  kind: z.enum(["weak", "stale", "none"]),
});

export function etagFault(spec: z.infer<typeof EtagFault>): Fault {
  switch (spec.kind) {
    case "weak":
      return {
        etag: { show: (strong) => `W/${strong}`, accepts: (given, strong) => given === `W/${strong}` },
      };
    case "stale":
      return { etag: { show: () => '"stale"', accepts: () => false } };
    case "none":
      return { etag: { show: () => null, accepts: (given, strong) => given === strong } };
  }
}

import { z } from "zod";
import type { Fault } from "./fault.js";
import { countdown, Match, matches, Times } from "./match.js";

/** Answers with a status instead of doing the request: 503 while busy, 401 once, 500, 409. */
export const StatusFault = z.strictObject({
  fault: z.literal("status"),
  status: z.number().int().min(400).max(599),
  retryAfterSeconds: z.number().int().min(0).max(3600).optional(),
  match: Match.optional(),
  times: Times,
});

export function statusFault(spec: z.infer<typeof StatusFault>): Fault {
  const left = countdown(spec.times);
  return {
    intercept: async (seen) => {
      if (!matches(spec.match, seen) || !left()) return null;
      const { status, retryAfterSeconds } = spec;
      return { answer: status, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
    },
  };
}

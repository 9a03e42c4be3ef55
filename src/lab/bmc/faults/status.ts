import { z } from "zod";
import type { Fault } from "./fault.js";
import { After, countdown, Match, matches, Times } from "./match.js";

/**
 * Answers with a status instead of doing the request: 503 while busy, 401 once, 500, 409. With `done` the request has taken
 * effect all the same: a BMC that answers 400 and yet applies, or 504 of something that goes on behind it. With `quotes` its
 * error repeats the request, secrets and all, as some firmware does for the sake of who debugs it.
 */
export const StatusFault = z.strictObject({
  fault: z.literal("status"),
  status: z.number().int().min(400).max(599),
  done: z.boolean().default(false),
  quotes: z.boolean().default(false),
  retryAfterSeconds: z.number().int().min(0).max(3600).optional(),
  match: Match.optional(),
  times: Times,
  after: After,
});

export function statusFault(spec: z.infer<typeof StatusFault>): Fault {
  const left = countdown(spec.times, spec.after);
  return {
    intercept: async (seen) => {
      if (!matches(spec.match, seen) || !left()) return null;
      const { status, done, quotes, retryAfterSeconds } = spec;
      return { answer: status, done, quotes, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
    },
  };
}

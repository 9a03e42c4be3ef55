import { z } from "zod";

/** Which requests a fault meets, and how often. Nothing given: every request, for as long as the fault is injected. */
export const Match = z.strictObject({
  method: z.enum(["GET", "HEAD", "POST", "PATCH", "DELETE"]).optional(),
  /** A part of the path, for example `ComputerSystem.Reset`. */
  path: z.string().max(256).optional(),
});
export type Match = z.infer<typeof Match>;

/** The fault is over after so many times. */
export const Times = z.number().int().min(1).max(1_000_000).optional();
/** The fault lets so many pass before its first time: the third Reset, the tenth reading. */
export const After = z.number().int().min(0).max(1_000_000).optional();

export interface Seen {
  method: string;
  path: string;
}

export function matches(match: Match | undefined, seen: Seen): boolean {
  if (match?.method !== undefined && match.method !== seen.method) return false;
  return match?.path === undefined || seen.path.includes(match.path);
}

/** Lets `after` pass, then counts down from `times`; says whether there was one left. */
export function countdown(times: number | undefined, after = 0): () => boolean {
  let pass = after;
  let left = times ?? Number.POSITIVE_INFINITY;
  return () => {
    if (pass > 0) {
      pass -= 1;
      return false;
    }
    return left > 0 && left-- > 0;
  };
}

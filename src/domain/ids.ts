/** Plain strings and small functions. No zod here: replayed workflow code imports this file. */

export const CENTRAL_QUEUE = "pitstop";
export const siteQueue = (site: string): string => `pitstop-site-${site}`;

/** The lock of promise 11: one target, one session, whoever starts it. */
export const sessionWorkflowId = (target: string): string => `maintenance/${target}`;

export const PHASES = [
  "planning",
  "waiting",
  "capturing",
  "staging",
  "arming",
  "rebooting",
  "working",
  "restoring",
  "verifying",
  "restored",
  "stranded",
  "released",
] as const;
export type Phase = (typeof PHASES)[number];

/** The outcome of the work. It never says where the target is: that is the ending. */
export const OUTCOMES = ["succeeded", "failed", "aborted", "timedOut"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** How a session ended, or `stranded` while it waits for a person. */
export const ENDINGS = ["restored", "stranded", "released"] as const;
export type Ending = (typeof ENDINGS)[number];

import type { HomeAnswer } from "../../domain/snapshot.js";

/** What every home check may use. */
export interface HomeDeps {
  /** Where a relative CA or key path is taken from; the working folder by default. */
  root?: string;
  /** For one check, everything included; 10 s by default. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** The OpenSSH programs, where they are not on PATH under their own names. */
  programs?: { ssh: string; sshKeyscan: string };
}

export const HOME_CHECK_MS = 10_000;

export const noAnswer = (check: string, reason: string): HomeAnswer => ({
  check,
  answered: false,
  machineId: null,
  bootId: null,
  hostKey: null,
  facts: {},
  reason: reason.slice(0, 500),
});

/** One signal of the deadline and the caller's. */
export function deadlineOf(deps: HomeDeps): AbortSignal {
  const deadline = AbortSignal.timeout(deps.timeoutMs ?? HOME_CHECK_MS);
  return deps.signal ? AbortSignal.any([deps.signal, deadline]) : deadline;
}

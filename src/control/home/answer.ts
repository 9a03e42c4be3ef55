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

/**
 * Does the work with one signal of the deadline and the caller's. It is held by its own timer: what `AbortSignal.any` makes of
 * an `AbortSignal.timeout` may be collected as garbage before it fires (Node 20), and the check would never end.
 */
export async function inTime<T>(deps: HomeDeps, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = new DOMException("The home check took too long.", "TimeoutError");
  const timer = setTimeout(() => stop.abort(late), deps.timeoutMs ?? HOME_CHECK_MS);
  const cancel = () => stop.abort(deps.signal?.reason);
  if (deps.signal?.aborted) cancel();
  deps.signal?.addEventListener("abort", cancel);
  try {
    return await work(stop.signal);
  } finally {
    clearTimeout(timer);
    deps.signal?.removeEventListener("abort", cancel);
  }
}

import type { Clock } from "./sessions.js";

/** An agent polls, reports progress and sends its log in pieces of up to 1 MiB: a few requests a second. */
const PER_SECOND = 50;
const BURST = 200;

/** A token bucket per target, so that one agent gone wild does not take the site from the others. */
export class Rates {
  readonly #now: Clock;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(now: Clock) {
    this.#now = now;
  }

  take(target: string): boolean {
    const nowMs = this.#now();
    const bucket = this.#buckets.get(target) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1000) * PER_SECOND);
    this.#buckets.set(target, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }

  forget(target: string): void {
    this.#buckets.delete(target);
  }
}

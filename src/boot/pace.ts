import type { Clock } from "./clock.js";

/** More than firmware asks in its worst minute; each one costs the site a write to its disk. */
const BURST = 32;
const PER_SECOND = 1;
/** Who asks under more names or from more addresses than this pushes out only what was forgotten next anyway. */
const MAX_REMEMBERED = 4096;

/** How often one address may ask in the name of one target. */
export class Pace {
  readonly #now: Clock;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(now: Clock) {
    this.#now = now;
  }

  take(address: string, target: string): boolean {
    const key = `${address} ${target}`;
    const nowMs = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1000) * PER_SECOND);
    // Deleted first, so that the order of the keys is the order of their last use.
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_REMEMBERED && oldest !== undefined) this.#buckets.delete(oldest);
    return tokens >= 1;
  }
}

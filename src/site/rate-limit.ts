import type { Clock } from "./clock.js";

export interface RateLimitOptions {
  /** Requests that one key may make at once, after a pause. */
  burst: number;
  /** Requests that one key gains back each second. */
  perSecond: number;
  /** Keys that are remembered. Beyond it the one that asked longest ago is forgotten, and starts with a full burst again. */
  maxKeys: number;
}

/** Token buckets, one for each key. */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #now: Clock;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(options: RateLimitOptions, now: Clock) {
    this.#options = options;
    this.#now = now;
  }

  /** Whether the key may make one more request now. */
  take(key: string): boolean {
    const { burst, perSecond, maxKeys } = this.#options;
    const nowMs = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond);
    // Deleted first, so that the order of the keys is the order of their last use.
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > maxKeys && oldest !== undefined) this.#buckets.delete(oldest);
    return tokens >= 1;
  }

  forget(key: string): void {
    this.#buckets.delete(key);
  }
}

import { setTimeout as sleep } from "node:timers/promises";

/** What has not ended by then is given up, and said: an attack always ends. */
export async function within<T>(ms: number, what: string, act: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = sleep(ms, undefined, { signal: over.signal }).then(
    () => Promise.reject(new Error(`${what} after ${ms / 60_000} minutes`)),
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([act(), late]);
  } finally {
    over.abort();
  }
}

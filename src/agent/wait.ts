/** Resolves after `ms`, or as soon as `signal` is aborted: never rejects, because being woken is no error here. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    timer.unref();
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** The promise's value, or `late` when it takes longer than `ms`. A rejection after that is ignored. */
export async function within<T, L>(promise: Promise<T>, ms: number, late: L): Promise<T | L> {
  const stop = new AbortController();
  try {
    return await Promise.race([promise, pause(ms, stop.signal).then(() => late)]);
  } finally {
    stop.abort();
    promise.catch(() => {});
  }
}

import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../src/domain/errors.js";
import type { Reconciler, ReconcilerLog } from "../src/site/reconciler.js";

/** A lost session is noticed within this time; the lease of its image lasts minutes. */
const BETWEEN_MS = 20_000;

/** Reconciles at once and then every 20 s, until the returned function is called. Rounds that fail in the same way are logged once. */
export function reconcileInRounds(
  reconciler: Reconciler,
  log: ReconcilerLog,
  betweenMs = BETWEEN_MS,
): () => Promise<void> {
  const stop = new AbortController();
  const rounds = (async () => {
    for (let failed = ""; !stop.signal.aborted; ) {
      const failure = await reconciler.round().then(() => "", messageOf);
      if (failure && failure !== failed) log("lost sessions cannot be looked for now", { error: failure });
      failed = failure;
      await delay(betweenMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  })();
  return async () => {
    stop.abort();
    await rounds;
  };
}

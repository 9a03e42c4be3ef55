import { setTimeout as delay } from "node:timers/promises";
import type { Reconciler } from "../activities/reconciler.js";
import { messageOf } from "../src/domain/errors.js";

/** A session that was lost is noticed within this time; its image has a lease of minutes. */
const BETWEEN_MS = 20_000;

/** Reconciles at once and then again and again, until the returned function is called. A round that fails is said once. */
export function reconcileInRounds(
  reconciler: Reconciler,
  log: (message: string, facts: object) => void,
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

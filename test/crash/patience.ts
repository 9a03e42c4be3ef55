import { setTimeout as sleep } from "node:timers/promises";

const AWAY_MS = 90_000;
const AGAIN_MS = 400;

/** Does the work again while its failure says only that servers are away, which die here and start again. */
export async function outlast<T>(isAway: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + AWAY_MS; ; await sleep(AGAIN_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isAway(error) || Date.now() > end) throw error;
    }
  }
}

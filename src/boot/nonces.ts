import type { MintedNonce } from "./site.js";

/** More fetches than firmware makes of one script (HEAD, GET, and again after each failed try), and a bound on what is kept. */
const MAX_NONCES = 16;

/**
 * The nonces with a fresh one. Where there are too many, the address that has the most loses its oldest: over plain netboot
 * anybody may ask in a target's name, but asking often takes nothing from the target, which asks from another address.
 */
export function withFresh(nonces: readonly MintedNonce[], fresh: MintedNonce): MintedNonce[] {
  const kept = [...nonces, fresh];
  while (kept.length > MAX_NONCES) {
    const counts = new Map<string, number>();
    for (const { from = "" } of kept) counts.set(from, (counts.get(from) ?? 0) + 1);
    const most = Math.max(...counts.values());
    kept.splice(
      kept.findIndex(({ from = "" }) => counts.get(from) === most),
      1,
    );
  }
  return kept;
}

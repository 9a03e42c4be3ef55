import { randomBytes, timingSafeEqual } from "node:crypto";
import type { MintedNonce, SiteEntry } from "./entry.js";

/** More fetches than firmware makes of one script (HEAD, GET, and again after each failed try), and a bound on what is kept. */
const MAX_NONCES = 16;
/** As many as one arming can have. */
const MAX_VOIDED = 16;

/** 192 random bits in 32 characters that need no escaping anywhere. */
export const unguessable = (): string => randomBytes(24).toString("base64url");

/** Compares two secrets in constant time. */
export function sameSecret(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/**
 * The nonces with a fresh one; at most 16. Beyond that the address with the most nonces loses its oldest. Over plain netboot
 * anybody may ask in a target's name: asking often takes nothing from the target, which asks from another address.
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

/** The void nonces of an entry once its present arming is over, newest last; at most 16. */
export const voidedBy = ({ boot, ledger }: SiteEntry): string[] =>
  [...ledger.voided, ...(boot?.nonces ?? []).map(({ nonce }) => nonce)].slice(-MAX_VOIDED);

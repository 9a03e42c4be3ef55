import { PitstopError } from "../domain/errors.js";
import { durationSeconds } from "../site/clock.js";
import type { MintedNonce, SiteBoot, SiteEntry } from "../site/entry.js";
import { cpioArchive } from "./cpio.js";

/** What an image's shell reads as `KEY='value'`: nothing in here can end the quotes or begin an expansion. */
const VALUE = /^[A-Za-z0-9_.,:=/@+-]*$/;

export interface ArchiveFacts {
  tlsUrl: string;
  /** PEM. */
  ca: string;
  /** `sha256//` and base64 of the SHA-256 of the TLS key's SubjectPublicKeyInfo. */
  pin: string;
}

/**
 * The tiny initrd by which nonce and settings reach the image (docs/agent-protocol.md): never on the kernel command
 * line, which every process of the image may read. The same bytes for the same nonce, so that it can be fetched in ranges.
 */
export function sessionArchive(
  entry: SiteEntry,
  boot: Pick<SiteBoot, "wasOff">,
  minted: MintedNonce,
  facts: ArchiveFacts,
): Buffer {
  const at = Date.parse(minted.mintedAt);
  const settings: Record<string, string | number> = {
    PITSTOP_TLS_URL: facts.tlsUrl,
    PITSTOP_NONCE: minted.nonce,
    PITSTOP_SESSION: entry.session,
    PITSTOP_TARGET: entry.target,
    PITSTOP_MODE: entry.plan.action?.mode ?? "active",
    PITSTOP_LEASE_SECONDS: durationSeconds(entry.plan.limits.leaseMs),
    PITSTOP_DEADLINE_SECONDS: durationSeconds(Date.parse(entry.absoluteDeadline) - at),
    PITSTOP_WAS_OFF: boot.wasOff ? 1 : 0,
    PITSTOP_PIN: facts.pin,
    PITSTOP_TIME: Math.floor(at / 1000),
  };
  const text = Object.entries(settings).map(([key, value]) => `${key}='${safe(key, String(value))}'\n`);
  return cpioArchive([
    { path: "etc", mode: 0o040755 },
    { path: "etc/pitstop", mode: 0o040755 },
    { path: "etc/pitstop/ca.pem", mode: 0o100644, content: Buffer.from(facts.ca) },
    { path: "etc/pitstop/session", mode: 0o100600, content: Buffer.from(text.join("")) },
  ]);
}

function safe(key: string, value: string): string {
  if (VALUE.test(value)) return value;
  throw new PitstopError("invalid", `${key} has a character that an image's settings may not have; correct it.`);
}

import type { Target } from "./target.js";

/** DSP0134 (SMBIOS), section 7.2.1: 8-4-4-4-12 hexadecimal digits, in lower case here. */
const FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** Board makers ship these in place of a UUID: many machines share one, so it proves nothing. */
const PLACEHOLDERS = new Set(["03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc"]);

/** Firmware without an identity reports zeros or Fs. */
const NOTHING = /^(0+|f+)$/;

/** `usableUuid` gives the UUID in lower case; null where there is none, or one that identifies no machine. */
export function usableUuid(given: string | null | undefined): string | null {
  const uuid = given?.trim().toLowerCase() ?? "";
  return FORM.test(uuid) && !isShared(uuid) ? uuid : null;
}

const isShared = (uuid: string): boolean =>
  NOTHING.test(uuid.replaceAll("-", "")) || PLACEHOLDERS.has(uuid) || PLACEHOLDERS.has(swappedUuid(uuid));

/**
 * `swappedUuid` turns the first three fields into the other byte order. SMBIOS before 2.6 left the order open
 * (DSP0134, section 7.2.1), so firmware, iPXE, Linux and BMCs differ.
 */
export function swappedUuid(uuid: string): string {
  const turn = (field: string): string => (field.match(/../g) ?? []).reverse().join("");
  const [a = "", b = "", c = "", d = "", e = ""] = uuid.split("-");
  return [turn(a), turn(b), turn(c), d, e].join("-");
}

/** `sameUuid` compares two usable UUIDs in both byte orders. */
export const sameUuid = (a: string, b: string): boolean => a === b || swappedUuid(a) === b;

/** `usableMac` gives lower case with colons; null for another form, for zeros and for Fs. */
export function usableMac(given: string | null | undefined): string | null {
  const mac = given?.trim().toLowerCase().replaceAll("-", ":") ?? "";
  return MAC.test(mac) && !/^[0:]+$/.test(mac) && !/^[f:]+$/.test(mac) ? mac : null;
}

/** What a machine says of itself, as the boot script and the hello carry it. */
export interface MachineClaim {
  uuid: string | null;
  macs: readonly string[];
}

/** `usableClaim` keeps what identifies a machine, so that shared UUIDs never decide. */
export const usableClaim = ({ uuid, macs }: MachineClaim): MachineClaim => ({
  uuid: usableUuid(uuid),
  macs: macs.map(usableMac).filter((mac) => mac !== null),
});

/**
 * `fits` compares a claim with a document's identity. Two usable UUIDs decide alone: a network card that moved into
 * another machine must not take a session along. Otherwise one MAC address must match.
 */
export function fits(identity: Target["identity"], claim: MachineClaim): boolean {
  const known = usableUuid(identity.uuid);
  const { uuid, macs } = usableClaim(claim);
  if (known !== null && uuid !== null) return sameUuid(known, uuid);
  return macs.some((mac) => identity.macs.includes(mac));
}

/** `isComparable` tells whether document and claim share a kind of identity; where they do not, nothing is disproved. */
export function isComparable(identity: Target["identity"], claim: MachineClaim): boolean {
  const { uuid, macs } = usableClaim(claim);
  if (usableUuid(identity.uuid) !== null && uuid !== null) return true;
  return identity.macs.length > 0 && macs.length > 0;
}

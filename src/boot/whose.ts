import type { Target } from "../domain/target.js";

/** What a machine says of itself when it asks for its boot script. A claim, not a proof. */
export interface Claim {
  platform: "efi" | "pcbios" | null;
  /** Lower case with colons. */
  mac: string | null;
  /** Lower case. */
  uuid: string | null;
  /** False: nothing was said at all, and the machine is asked to come back and say it. */
  said: boolean;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/**
 * Reads the query of `/boot.ipxe`. `serial` comes last and may hold anything, `&` and `=` too, so nothing after it is
 * taken for a parameter. What is malformed is taken as not said: firmware is not lectured, it is sent home.
 */
export function readClaim(query: string): Claim {
  const serialAt = /(^|&)serial=/.exec(query);
  const claims = new URLSearchParams(serialAt ? query.slice(0, serialAt.index) : query);
  const platform = claims.get("platform");
  const mac = (claims.get("mac") ?? "").toLowerCase().replaceAll("-", ":");
  return {
    platform: platform === "efi" || platform === "pcbios" ? platform : null,
    mac: MAC.test(mac) ? mac : null,
    uuid: usableUuid(claims.get("uuid")),
    said: query !== "",
  };
}

/** A UUID in lower case; null where firmware says none, or only zeros or Fs, which many machines share. */
export function usableUuid(text: string | null): string | null {
  const uuid = (text ?? "").toLowerCase();
  return UUID.test(uuid) && !/^[0-]+$/.test(uuid) && !/^[f-]+$/.test(uuid) ? uuid : null;
}

/**
 * The UUID with its first three fields in the other byte order: SMBIOS before 2.6 did not say which one it is
 * (DSP0134, section 7.2.1), and firmware, iPXE and Linux do not all choose the same.
 */
export function swappedUuid(uuid: string): string {
  const swap = (field: string): string => (field.match(/../g) ?? []).reverse().join("");
  const [a = "", b = "", c = "", d = "", e = ""] = uuid.split("-");
  return [swap(a), swap(b), swap(c), d, e].join("-");
}

/**
 * Whether the claim fits the target. Where both say a UUID, it decides: a network card that was moved into another machine
 * must not take a session along.
 */
export function fits(identity: Target["identity"], claim: { uuid: string | null; macs: readonly string[] }): boolean {
  if (identity.uuid !== undefined && claim.uuid !== null) {
    return claim.uuid === identity.uuid || swappedUuid(claim.uuid) === identity.uuid;
  }
  return claim.macs.some((mac) => identity.macs.includes(mac));
}

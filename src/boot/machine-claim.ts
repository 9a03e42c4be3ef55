import { usableMac, usableUuid } from "../domain/machine-identity.js";

/** What a machine says of itself when it asks for its boot script. A claim, not a proof. */
export interface BootClaim {
  platform: "efi" | "pcbios" | null;
  /** Lower case with colons. */
  mac: string | null;
  /** Lower case. */
  uuid: string | null;
  /** False: the query was empty, and the script sends the machine back to say who it is. */
  said: boolean;
}

/**
 * Reads the query of `/boot.ipxe`. `serial` comes last and may hold anything, `&` and `=` too, so nothing after it counts as
 * a parameter. A malformed value counts as not said: firmware reads no error messages, it needs a way home.
 */
export function readClaim(query: string): BootClaim {
  const serialAt = /(^|&)serial=/.exec(query);
  const claims = new URLSearchParams(serialAt ? query.slice(0, serialAt.index) : query);
  const platform = claims.get("platform");
  return {
    platform: platform === "efi" || platform === "pcbios" ? platform : null,
    mac: usableMac(claims.get("mac")),
    uuid: usableUuid(claims.get("uuid")),
    said: query !== "",
  };
}

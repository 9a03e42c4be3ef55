import { PitstopError } from "../../domain/errors.js";
import type { Target } from "../../domain/target.js";

const form = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What board makers leave in place of a UUID. Many machines share these: they prove nothing. */
const placeholders = new Set([
  "03000200-0400-0500-0006-000700080009",
  "00020003-0004-0005-0006-000700080009",
  "12345678-1234-5678-90ab-cddeefaabbcc",
]);

/** The UUID in lower case; null where there is none, or one that identifies no machine. */
export function usableUuid(given: string | null): string | null {
  const uuid = given?.trim().toLowerCase() ?? "";
  if (!form.test(uuid) || /^[0-]+$/.test(uuid) || /^[f-]+$/.test(uuid)) return null;
  return placeholders.has(uuid) || placeholders.has(swappedUuid(uuid)) ? null : uuid;
}

/**
 * The same UUID in the other byte order: SMBIOS (DSP0134, 7.2.1 "System — UUID") keeps the first three fields little
 * endian, and BMCs differ in whether they turn them.
 */
export function swappedUuid(uuid: string): string {
  const fields = uuid.split("-");
  const turn = (field: string | undefined) => (field ?? "").match(/../g)?.reverse().join("") ?? "";
  return [turn(fields[0]), turn(fields[1]), turn(fields[2]), ...fields.slice(3)].join("-");
}

export const sameUuid = (a: string, b: string): boolean => a === b || swappedUuid(a) === b;

export function normalMac(text: string | null): string | null {
  const mac = text?.toLowerCase().replaceAll("-", ":") ?? "";
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && !/^[0:]+$/.test(mac) ? mac : null;
}

/**
 * Compares the machine at a BMC with its document. The UUID decides where both sides have one worth trusting; else one
 * of the document's MAC addresses must be the machine's. `macs` is asked only then.
 */
export async function proveIdentity(
  target: Target,
  seen: { at: string; system: string; uuid: string | null },
  macs: () => Promise<string[]>,
): Promise<void> {
  const { uuid, macs: known } = target.identity;
  if (uuid !== undefined && seen.uuid !== null) {
    if (sameUuid(uuid, seen.uuid)) return;
    throw new PitstopError(
      "refused",
      `${target.name} is ${uuid} by its document, but the system ${seen.system} at ${seen.at} is ${seen.uuid}; ` +
        "nothing was changed. Correct control.redfish (url, system) or identity.uuid.",
    );
  }
  if (known.length === 0) {
    throw new PitstopError(
      "refused",
      `The system ${seen.system} at ${seen.at} shows no UUID that identifies it; give ${target.name} a MAC address in identity.macs.`,
    );
  }
  const found = await macs();
  if (known.some((mac) => found.includes(mac))) return;
  throw new PitstopError(
    "refused",
    `${target.name} has ${known.join(", ")} by its document, but the system ${seen.system} at ${seen.at} has ` +
      `${found.length > 0 ? found.join(", ") : "no MAC address that it tells"}; nothing was changed. ` +
      "Correct control.redfish (url, system) or identity.",
  );
}

import { PitstopError } from "../../domain/errors.js";
import { sameUuid, usableMac, usableUuid } from "../../domain/machine-identity.js";
import type { Target } from "../../domain/target.js";
import type { ControlIdentity } from "../control.js";
import type { Machine } from "./machine.js";
import { EthernetInterface, type System } from "./resources.js";

/** What a proof found: the machine's UUID, where it shows one of its own, and the MAC addresses, where they proved it. */
export interface ProvedIdentity {
  uuid: string | null;
  macs: string[];
}

/**
 * `proveIdentity` compares the machine at a BMC with its document. The UUID decides where both sides have one of their own; else
 * one of the document's MAC addresses must be the machine's. `macs` is asked only then. Errors: `refused`.
 */
export async function proveIdentity(
  target: Target,
  seen: { at: string; system: string; uuid: string | null },
  macs: () => Promise<string[]>,
): Promise<ProvedIdentity> {
  const uuid = usableUuid(target.identity.uuid);
  const known = target.identity.macs;
  if (uuid !== null && seen.uuid !== null) {
    if (sameUuid(uuid, seen.uuid)) return { uuid: seen.uuid, macs: [] };
    throw refusal(
      `${target.name} is ${uuid} by its document, but the system ${seen.system} at ${seen.at} is ${seen.uuid}; ` +
        "nothing was changed. Correct control.redfish (url, system) or identity.uuid.",
    );
  }
  if (known.length === 0) {
    throw refusal(
      `The system ${seen.system} at ${seen.at} shows no UUID that identifies it; give ${target.name} a MAC address in identity.macs.`,
    );
  }
  const found = await macs();
  const proved = known.filter((mac) => found.includes(mac));
  if (proved.length > 0) return { uuid: seen.uuid, macs: proved };
  throw refusal(
    `${target.name} has ${known.join(", ")} by its document, but the system ${seen.system} at ${seen.at} has ` +
      `${found.length > 0 ? found.join(", ") : "no MAC address that it tells"}; nothing was changed. ` +
      "Correct control.redfish (url, system) or identity.",
  );
}

/** `refuseOtherThan` compares what was proved now with what the boot snapshot kept. Errors: `refused`. */
export function refuseOtherThan(kept: ControlIdentity, now: ProvedIdentity, at: string): void {
  const was = usableUuid(kept.systemUuid);
  if (was !== null && (now.uuid === null || !sameUuid(was, now.uuid))) {
    throw anotherMachine(at, was, now.uuid ?? "a system without a UUID");
  }
  const { macs } = kept;
  if (macs.length === 0 || now.macs.length === 0 || macs.some((mac) => now.macs.includes(mac))) return;
  throw anotherMachine(at, macs.join(", "), now.macs.join(", "));
}

/** `anotherMachine` stops everything: a write would reach a machine that nobody meant. */
export const anotherMachine = (at: string, was: string, is: string): PitstopError =>
  refusal(
    `The system at ${at} was proved to be ${was} and is now ${is}; nothing more is done to it. ` +
      "See which machine answers there, and correct control.redfish or the BMC.",
  );

/** `identity` in the facts keeps the refusal from being taken for one of a single section. */
const refusal = (message: string): PitstopError => new PitstopError("refused", message, { facts: { identity: true } });

/** `macsOf` reads the MAC addresses of a system's interfaces; empty where it has none to tell. */
export async function macsOf(machine: Machine, system: System): Promise<string[]> {
  if (system.EthernetInterfaces === null) return [];
  const bodies = await machine.client.members(system.EthernetInterfaces, machine.dialect.parentFirst);
  return bodies
    .map((body) => EthernetInterface.parse(body))
    .flatMap((nic) => [usableMac(nic.PermanentMACAddress), usableMac(nic.MACAddress)])
    .filter((mac) => mac !== null);
}

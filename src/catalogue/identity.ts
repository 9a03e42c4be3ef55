import { swappedUuid, usableUuid } from "../domain/machine-identity.js";
import type { Target } from "../domain/target.js";

/**
 * What tells the target's machine from every other: its UUID, each MAC address, and each BMC with its system.
 * A Redfish control without `system` means the only one of its BMC, so it claims the BMC whole (`#*`).
 */
export function identityKeys(target: Target): string[] {
  const keys = new Set<string>();
  const uuid = usableUuid(target.identity.uuid);
  if (uuid !== null) keys.add(`uuid:${uuid}`);
  for (const mac of target.identity.macs) keys.add(`mac:${mac}`);
  for (const control of target.control) {
    if ("redfish" in control) keys.add(`redfish:${bmcOf(control.redfish.url)}#${control.redfish.system ?? "*"}`);
    else keys.add(`ipmi:${control.ipmi.host.toLowerCase()}`);
  }
  // Sorted, so that two servers insert in one order and never wait for each other.
  return [...keys].sort();
}

/**
 * What forbids this target's own keys: the same UUID in the other byte order, and the BMC's whole claims; and the prefixes that its
 * own whole claims forbid.
 */
export function clashesOf(keys: readonly string[]): { keys: string[]; prefixes: string[] } {
  const redfish = keys.filter((key) => key.startsWith("redfish:"));
  const bmcs = redfish.map((key) => key.slice(0, key.lastIndexOf("#") + 1));
  const whole = redfish.filter((key) => key.endsWith("#*")).map((key) => key.slice(0, -1));
  const swapped = keys.filter((key) => key.startsWith("uuid:")).map((key) => `uuid:${swappedUuid(key.slice(5))}`);
  return { keys: [...new Set([...keys, ...swapped, ...bmcs.map((bmc) => `${bmc}*`)])], prefixes: whole };
}

/** `http` and `https` of one address are one BMC. */
function bmcOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host.toLowerCase()}${pathname.replace(/\/+$/, "")}`;
}

/** For the sentence that refuses: `the MAC address 52:54:…`. */
export function sayIdentity(key: string): string {
  const value = key.slice(key.indexOf(":") + 1);
  if (key.startsWith("uuid:")) return `the UUID ${value}`;
  if (key.startsWith("mac:")) return `the MAC address ${value}`;
  if (key.startsWith("ipmi:")) return `the IPMI controller ${value}`;
  const at = value.lastIndexOf("#");
  const system = value.slice(at + 1);
  return system === "*"
    ? `the only system of the BMC ${value.slice(0, at)}`
    : `the system ${system} of the BMC ${value.slice(0, at)}`;
}

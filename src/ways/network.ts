import type { Graded, Seen } from "./way.js";

/** On plain netboot every machine that says the target's MAC address or UUID is taken for the target. */
export const claimedIdentity = (via: string): Graded => ({
  grade: "lan",
  why: `boots over plain ${via}, where identity is only a claim`,
  remedy: "boot it via virtual-media",
});

/** What of a boot script and its files was fetched shows how far a network boot came. */
export function diagnoseNetworkBoot(seen: Seen): string {
  if (seen.power === "Off") return "it is off; it was turned off, or turned itself off, during the boot.";
  if (seen.homeAnswering) {
    return seen.scriptFetched
      ? "its own system runs; it fetched the boot script and then went on to its disk."
      : "its own system runs; the boot override was ignored, or the network boot failed before it reached the boot server.";
  }
  if (!seen.scriptFetched) {
    return "it never asked for its boot script; look at its DHCP, its cabling, and whether its firmware can boot from the network.";
  }
  if (!seen.kernelFetched) return "it fetched its boot script, but not the kernel; look at its console.";
  if (!seen.initrdFetched) return "it fetched the kernel, but not the initrd; look at its console.";
  return "it fetched the whole image, but its agent did not call; look at its console, and whether it reaches the TLS listener.";
}

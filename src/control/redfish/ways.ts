import type { BootChoice } from "../control.js";
import { bootListOf, inBoot, type Look, type Machine } from "./machine.js";
import { modeOf } from "./override.js";
import { TARGETS, URI } from "./override-state.js";

type Way = BootChoice["via"];

/** `targetsOf` gives the override targets that do what a way asks, best first. */
export const targetsOf = (machine: Machine): Record<Way, readonly string[]> => ({
  pxe: ["Pxe"],
  "uefi-http": ["UefiHttp"],
  "virtual-media": machine.dialect.mediaTargets,
});

/**
 * `remedyBut` ends a refusal of one way with the others that this machine really has. `hasDrive`: whether it has a virtual CD; asked
 * only where the override could boot it.
 */
export async function remedyBut(
  refused: Way,
  machine: Machine,
  look: Look,
  hasDrive: () => Promise<boolean>,
): Promise<string> {
  const offered = bootListOf(look, TARGETS);
  const isOffered = (way: Way) => targetsOf(machine)[way].some((target) => offered?.includes(target) ?? true);
  const ways: Way[] = [];
  if (refused !== "pxe" && isOffered("pxe")) ways.push("pxe");
  const hasHttp = isOffered("uefi-http") && inBoot(look, URI) && modeOf(machine) === "UEFI";
  if (refused !== "uefi-http" && hasHttp) ways.push("uefi-http");
  if (refused !== "virtual-media" && isOffered("virtual-media") && (await hasDrive())) ways.push("virtual-media");
  return ways.length > 0 ? `give ${ways.join(" or ")} in boot.via` : "update the BMC's firmware";
}

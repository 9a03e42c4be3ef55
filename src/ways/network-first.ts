import type { Armed, BootChoice, Capabilities } from "../control/control.js";
import { PitstopError } from "../domain/errors.js";
import { isKnown, isUnreadable } from "../domain/reading.js";
import type { Target } from "../domain/target.js";

/**
 * `armNextBoot` ensures that the next boot is `choice`, by the control's override. A machine without one boots by pxe alone, and by its
 * boot order: see {@link trustBootOrder}. Errors: `refused` with the opt-in as the remedy.
 */
export async function armNextBoot(can: Capabilities, target: Target, choice: BootChoice): Promise<Armed> {
  if (can.nextBoot !== null) return await can.nextBoot.arm(choice);
  if (choice.via === "pxe") return await trustBootOrder(can, target);
  throw new PitstopError(
    "refused",
    `${target.name} has no boot override, so it boots by pxe alone; give pxe in boot.via.`,
  );
}

/** A boot order that asks the network first needs no override, where the owner allows that. Nothing is written: the boot server decides. */
async function trustBootOrder(can: Capabilities, { name, boot }: Target): Promise<Armed> {
  if (!boot.allow.includes("network-first-order")) {
    throw new PitstopError(
      "refused",
      `${name} has no boot override at all; where its boot order asks the network first, allow network-first-order in boot.allow, ` +
        "so that the boot server alone decides what it boots.",
    );
  }
  const first = can.bootOrder === null ? null : await can.bootOrder.asksNetworkFirst();
  if (first !== null && isKnown(first) && !first) {
    throw new PitstopError(
      "refused",
      `${name} has no boot override, and its boot order does not ask the network first; put a network entry first in its firmware's setup.`,
    );
  }
  if (first !== null && isUnreadable(first)) throw new PitstopError("refused", first.unreadable);
  return {
    override: { enabled: "Disabled", target: null, mode: null, httpBootUri: null },
    notes: [`${name} has no boot override: its boot order asks the network first, and the boot server alone decides.`],
  };
}

import { PitstopError } from "../../domain/errors.js";
import type { LabBoot, LabBootOption } from "../machine.js";

/** What the firmware of a lab machine keeps about booting, while it is off or as it stands while it runs. */
export interface BootMenu {
  options(): LabBootOption[];
  order(): string[];
  setOrder(references: string[]): void;
  /** Ensures that the next start boots `boot` once, or nothing special when that is the disk. */
  arm(boot: LabBoot): void;
}

/** An order that names what is not there, or one thing twice, is `invalid`. */
export function refuseUnknown(references: string[], known: string[]): void {
  const unknown = references.find((reference) => !known.includes(reference));
  if (unknown !== undefined) {
    throw new PitstopError("invalid", `The machine has no boot option ${unknown}; it has ${known.join(", ")}.`);
  }
  if (new Set(references).size !== references.length) {
    throw new PitstopError("invalid", "A boot order names each boot option once.");
  }
}

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { PitstopError } from "../../domain/errors.js";
import type { LabBoot, LabBootOption } from "../machine.js";
import { type BootMenu, refuseUnknown } from "./boot-menu.js";

/** The three devices that a PC BIOS chooses among. QEMU is told the order at each start. */
export class BiosBootMenu implements BootMenu {
  static readonly letters: Record<string, string> = { Disk: "c", Network: "n", Cd: "d" };
  readonly #file: string;
  #once: string | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  options(): LabBootOption[] {
    return [
      { reference: "Disk", displayName: "First hard disk" },
      { reference: "Network", displayName: "Network card (iPXE)" },
      { reference: "Cd", displayName: "CD drive" },
    ].map((option) => ({ ...option, uefiDevicePath: null, enabled: true }));
  }

  order(): string[] {
    try {
      return JSON.parse(readFileSync(this.#file, "utf8")) as string[];
    } catch {
      return Object.keys(BiosBootMenu.letters);
    }
  }

  setOrder(references: string[]): void {
    refuseUnknown(references, Object.keys(BiosBootMenu.letters));
    writeFileSync(`${this.#file}.new`, JSON.stringify(references));
    renameSync(`${this.#file}.new`, this.#file);
  }

  arm(boot: LabBoot): void {
    if (boot.from === "uefi-http") {
      throw new PitstopError("refused", "A BIOS cannot boot from a URI; choose pxe, or a machine with firmware: uefi.");
    }
    this.#once = { disk: null, pxe: "n", cd: "d" }[boot.from];
  }

  /** The value of QEMU's `-boot order=` for this start. */
  letters(): string {
    const order = this.order().map((reference) => BiosBootMenu.letters[reference] ?? "");
    return [...new Set([this.#once ?? "", ...order])].join("");
  }
}

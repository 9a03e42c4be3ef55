import { existsSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { PitstopError } from "../../domain/errors.js";
import type { LabBootOption } from "../machine.js";

/** The boot menu of a process machine: a disk and a network card, in an order that is kept in a file. */
export class ProcessBootMenu {
  readonly #file: string;
  readonly #options: readonly LabBootOption[];

  constructor(file: string, firmware: "uefi" | "bios", mac: string) {
    this.#file = file;
    const uefi = firmware === "uefi";
    const path = (text: string) => (uefi ? text : null);
    this.#options = [
      {
        reference: uefi ? "Boot0000" : "Disk",
        displayName: "Disk",
        uefiDevicePath: path("HD(1,GPT,5A5A5A5A-0000-4000-8000-000000000001,0x800,0x40000)"),
        enabled: true,
      },
      {
        reference: uefi ? "Boot0001" : "Network",
        displayName: "Network card (iPXE)",
        uefiDevicePath: path(`PciRoot(0x0)/Pci(0x2,0x0)/MAC(${mac.replaceAll(":", "")},0x1)/IPv4(0.0.0.0)`),
        enabled: true,
      },
    ];
  }

  options(): LabBootOption[] {
    return [...this.#options];
  }

  order(): string[] {
    const usual = this.#options.map((option) => option.reference);
    if (!existsSync(this.#file)) return usual;
    return JSON.parse(readFileSync(this.#file, "utf8")) as string[];
  }

  /** Whether the network card comes before the disk. */
  get networkFirst(): boolean {
    return this.order()[0] === this.#options[1]?.reference;
  }

  async setOrder(references: string[]): Promise<void> {
    const known = new Set(this.#options.map((option) => option.reference));
    const unknown = references.find((reference) => !known.has(reference));
    if (unknown !== undefined) {
      throw new PitstopError("invalid", `There is no boot option ${unknown}; choose among ${[...known].join(", ")}.`);
    }
    await writeFile(`${this.#file}.new`, JSON.stringify(references));
    await rename(`${this.#file}.new`, this.#file);
  }
}

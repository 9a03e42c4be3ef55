import { commandLine, word } from "./ipxe.js";

/** Where the script is on a medium. */
export const GRUB_SCRIPT = "/boot/pitstop.cfg";

/** Long enough that a person at the console, or a recording of it, can read why. */
const READ_THE_ERROR_S = 10;

/**
 * What is built into both forms of GRUB (https://www.gnu.org/software/grub/manual/grub/). It is read by GRUB's rescue
 * parser, line after line whatever fails, so that it always comes to its last line: a medium never ends at a prompt.
 *
 * GRUB looks at the medium that it came from and at nothing else: `root` is the drive that it was loaded from, and `cd`
 * what a BIOS calls that drive where its number leads nowhere. It does not search, because a search would also look
 * at the target's own disks, on which somebody may have left a file of the same name.
 */
export function grubBootstrap(): string {
  return [
    `source ($root)${GRUB_SCRIPT}`,
    "set root=cd",
    `source ($root)${GRUB_SCRIPT}`,
    "echo The maintenance image does not boot from this medium. Resetting.",
    `sleep ${READ_THE_ERROR_S}`,
    "reboot",
    "",
  ].join("\n");
}

/** The script of one image: kernel, initrds, boot, and back to the bootstrap where one of them fails. */
export function grubScript(of: { kernel: string; initrds: readonly string[]; args: readonly string[] }): string {
  const files = of.initrds.map((name) => `/${word(name, "An initrd's name")}`);
  return [
    `if linux /${word(of.kernel, "A kernel's name")} ${commandLine(of.args)}; then`,
    `  if initrd ${files.join(" ")}; then`,
    "    boot",
    "  fi",
    "fi",
    "",
  ].join("\n");
}

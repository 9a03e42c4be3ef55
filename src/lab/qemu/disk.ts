import { constants, copyFileSync, existsSync, renameSync } from "node:fs";
import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";

/** Offset of the boot partition in bytes, as images/lab/build-disk lays it out. */
const BOOT_PARTITION = 1 << 20;
const MTOOLS_MS = 30_000;

export interface DiskSettings {
  hostName: string;
  ignorePowerButton: boolean;
}

/**
 * Ensures a machine's own disk: copied from the template where there is none (so that it keeps what its system wrote),
 * with these settings beside the boot loader. The machine must be off.
 */
export async function ensureMachineDisk(template: string, disk: string, settings: DiskSettings): Promise<void> {
  if (!existsSync(disk)) {
    copyFileSync(template, `${disk}.new`, constants.COPYFILE_FICLONE);
    renameSync(`${disk}.new`, disk);
  }
  const text = `HOST_NAME=${settings.hostName}\nIGNORE_POWER_BUTTON=${settings.ignorePowerButton ? 1 : 0}\n`;
  const image = `${disk}@@${BOOT_PARTITION}`;
  // Written only where it differs: a disk that nobody changed has the same bytes after a start of the lab.
  const current = await mtools("mtype", ["-i", image, "::/lab.conf"]);
  if (current.stdout === text) return;
  const written = await mtools("mcopy", ["-o", "-i", image, "-", "::/lab.conf"], text);
  if (written.failed) throw new PitstopError("internal", `mcopy could not write to ${disk}: ${written.stderr}`);
}

async function mtools(program: string, args: string[], input = "") {
  return await execa(program, args, {
    input,
    reject: false,
    timeout: MTOOLS_MS,
    stripFinalNewline: false,
    extendEnv: false,
    env: bareEnvironment({ MTOOLS_SKIP_CHECK: "1" }),
  });
}

import { constants } from "node:fs";
import { access, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { execa } from "execa";
import { bareEnvironment } from "../domain/environment.js";
import { messageOf, PitstopError } from "../domain/errors.js";
import { digestFile } from "../stores/fetch-verified.js";
import { GRUB_SCRIPT, grubBootstrap, grubScript } from "./grub.js";

/** The session's archive is laid over this file when the medium is served. Some ten times what it needs today. */
export const SLOT_NAME = "session.img";
export const SLOT_BYTES = 64 * 1024;
export const KERNEL_NAME = "vmlinuz";
export const initrdName = (index: number): string => `initrd${index}`;

/** Part of every medium's key: another number, and media are made anew. */
const RECIPE = "1";
/** The same for every medium: equal files make equal bytes. 1 January 2000, in xorriso's and in mtools' words. */
const ISO_DATE = "2000010100000000";
const EPOCH_SECONDS = "946684800";
/** Sectors of 512 bytes. GRUB for UEFI has 0.6 MB; FAT12 likes a size that floppies could have had. */
const EFI_IMAGE_SECTORS = 4096;
/** xorriso copies at the disk's pace: twenty minutes are 4 GB at 3 MB/s. */
const BUILD_MS = 20 * 60_000;
/** What xorriso and GRUB take as one extent; no maintenance image comes near it. */
const MAX_FILE_BYTES = 4 * 1024 ** 3 - SLOT_BYTES;

const COMMON_MODULES = ["iso9660", "linux", "normal", "configfile", "echo", "sleep", "reboot"];
/** `all_video`: without it the kernel has no console on a screen under UEFI, a BMC's remote screen included. */
const PLATFORMS = {
  bios: { folder: "i386-pc", format: "i386-pc-eltorito", modules: ["biosdisk", ...COMMON_MODULES] },
  efi: { folder: "x86_64-efi", format: "x86_64-efi", modules: ["all_video", ...COMMON_MODULES] },
} as const;

const PROGRAMS: Record<string, string> = {
  "grub-mkimage": "grub-common",
  mformat: "mtools",
  mmd: "mtools",
  mcopy: "mtools",
  xorriso: "xorriso",
};
const PACKAGES = { bios: "grub-pc-bin", efi: "grub-efi-amd64-bin" } as const;

export interface IsoSource {
  /** Paths of verified files. */
  kernel: string;
  initrds: string[];
  args: readonly string[];
}

/**
 * What the tools of this host would make of anything, as a digest: with another GRUB it is another one. `refused`, naming
 * the packages, where a tool is missing.
 */
export async function isoRecipe(grubFolder: string): Promise<string> {
  await requireTools(grubFolder);
  const kernels = await Promise.all(
    Object.values(PLATFORMS).map(async ({ folder }) => {
      const { hash } = await digestFile(join(grubFolder, folder, "kernel.img"));
      return hash.digest("hex");
    }),
  );
  return [RECIPE, grubBootstrap(), ...kernels].join("\n");
}

/**
 * Makes `out`, an ISO 9660 image that boots the kernel by BIOS (El Torito) and by UEFI, in the empty folder `work`. The same
 * bytes for the same files and tools.
 */
export async function buildIso(
  of: IsoSource,
  to: { out: string; work: string; grubFolder: string },
  signal: AbortSignal,
): Promise<void> {
  const tree = join(to.work, "tree");
  const run = runner(signal);
  await mkdir(join(tree, "boot"), { recursive: true, mode: 0o700 });
  const initrds = of.initrds.map((_, index) => initrdName(index));
  const script = grubScript({ kernel: KERNEL_NAME, initrds: [...initrds, SLOT_NAME], args: of.args });
  await writeFile(join(tree, GRUB_SCRIPT), script);
  await writeFile(join(tree, SLOT_NAME), Buffer.alloc(SLOT_BYTES));
  await symlink(resolve(of.kernel), join(tree, KERNEL_NAME));
  for (const [index, path] of of.initrds.entries()) await symlink(resolve(path), join(tree, initrdName(index)));

  const bootstrap = join(to.work, "bootstrap.cfg");
  await writeFile(bootstrap, grubBootstrap());
  await grubImage(run, { ...to, bootstrap, platform: PLATFORMS.bios, out: join(tree, "boot", "bios.img") });
  await grubImage(run, { ...to, bootstrap, platform: PLATFORMS.efi, out: join(to.work, "bootx64.efi") });
  await efiPartition(run, join(to.work, "bootx64.efi"), join(tree, "boot", "efi.img"));
  await run("xorriso", [
    ...["-as", "mkisofs", "-quiet", "-f", "-r", "-iso-level", "3", "-V", "PITSTOP"],
    ...[`--modification-date=${ISO_DATE}`, "--set_all_file_dates", ISO_DATE],
    ...["-c", "boot/boot.cat", "-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4"],
    ...["-boot-info-table", "--grub2-boot-info", "-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot"],
    ...["-o", `${to.out}.part`, tree],
  ]);
  await rename(`${to.out}.part`, to.out);
}

/** Whether the files fit what a medium can hold. */
export function requireFits(name: string, bytes: number): void {
  if (bytes <= MAX_FILE_BYTES) return;
  throw new PitstopError("refused", `${name} has a file of ${bytes} bytes, and a medium holds files below 4 GiB.`);
}

type Run = (program: string, args: string[]) => Promise<void>;

interface GrubImage {
  grubFolder: string;
  bootstrap: string;
  platform: (typeof PLATFORMS)[keyof typeof PLATFORMS];
  out: string;
}

const grubImage = (run: Run, { grubFolder, bootstrap, platform, out }: GrubImage): Promise<void> =>
  run("grub-mkimage", [
    ...["--directory", join(grubFolder, platform.folder), "--format", platform.format],
    ...["--prefix", "/boot", "--config", bootstrap, "--output", out, ...platform.modules],
  ]);

/** The FAT file system that UEFI looks for on a CD, with GRUB under the name for removable media (UEFI 2.10, section 3.5.1.1). */
async function efiPartition(run: Run, program: string, out: string): Promise<void> {
  const size = ["-T", String(EFI_IMAGE_SECTORS)];
  await run("mformat", ["-C", "-i", out, ...size, "-N", "50495453", "-v", "PITSTOP", "::"]);
  await run("mmd", ["-i", out, "::/EFI", "::/EFI/BOOT"]);
  await run("mcopy", ["-i", out, program, "::/EFI/BOOT/BOOTX64.EFI"]);
}

function runner(signal: AbortSignal): Run {
  const env = bareEnvironment({
    LC_ALL: "C",
    TZ: "UTC",
    SOURCE_DATE_EPOCH: EPOCH_SECONDS,
    MTOOLSRC: "/dev/null",
    MTOOLS_SKIP_CHECK: "1",
  });
  return async (program, args) => {
    const done = await execa(program, args, {
      ...{
        extendEnv: false,
        env,
        stdin: "ignore",
        all: true,
        reject: false,
        maxBuffer: 1024 * 1024,
        timeout: BUILD_MS,
      },
      cancelSignal: signal,
    });
    signal.throwIfAborted();
    if (!done.failed) return;
    const said = (done.all ?? "").trim().split("\n").slice(-3).join(" / ").slice(0, 500);
    throw new PitstopError("unreachable", `The medium could not be made: ${program}: ${said || messageOf(done)}.`);
  };
}

async function requireTools(grubFolder: string): Promise<void> {
  const missing: [string, string][] = [];
  for (const [program, debianPackage] of Object.entries(PROGRAMS)) {
    if (!(await onPath(program))) missing.push([program, debianPackage]);
  }
  for (const [platform, { folder }] of Object.entries(PLATFORMS)) {
    const path = join(grubFolder, folder, "kernel.img");
    if (!(await may(path, constants.R_OK))) missing.push([path, PACKAGES[platform as keyof typeof PACKAGES]]);
  }
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, debianPackage]) => debianPackage))].sort();
  throw new PitstopError(
    "refused",
    `To make media for virtual-media this site needs ${missing.map(([what]) => what).join(", ")}; ` +
      `install them (Debian: apt-get install ${packages.join(" ")}), or name another way in boot.via.`,
  );
}

async function onPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (folder !== "" && (await may(join(folder, program), constants.X_OK))) return true;
  }
  return false;
}

const may = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );

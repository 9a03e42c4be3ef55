import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";
import { type AcceleratorChoice, chooseAccelerator } from "./accelerator.js";

/** Downloading takes most of it: some 35 MB of packages. */
const BUILD_MS = 15 * 60_000;

const PROGRAMS: Record<string, string> = {
  "qemu-system-x86_64": "qemu-system-x86",
  setpriv: "util-linux",
  mcopy: "mtools",
  "mkfs.vfat": "dosfstools",
  sfdisk: "fdisk",
  mke2fs: "e2fsprogs",
  cpio: "cpio",
  zstd: "zstd",
  xz: "xz-utils",
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
};
const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd" };
/**
 * The form of iPXE that drives the card by the firmware's own driver. Its sibling ipxe.efi of 2019 never comes back when
 * its script exits: it offers the card to the firmware's network stack, and then loops for ever over what that receives.
 */
const IPXE_EFI = "/usr/lib/ipxe/snponly.efi";
/** iPXE as the option ROM of QEMU's virtio network card. */
const IPXE_ROM = "/usr/lib/ipxe/qemu/pxe-virtio.rom";
const FILES: Record<string, string> = {
  [OVMF.code]: "ovmf",
  [OVMF.vars]: "ovmf",
  [IPXE_EFI]: "ipxe",
  [IPXE_ROM]: "ipxe-qemu",
};

/** What every QEMU machine of a lab shares. */
export interface QemuLab extends AcceleratorChoice {
  qemu: string;
  ovmf: { code: string; vars: string };
  ipxeEfi: string;
  /** Disk image of the normal system, copied for each machine; `kernel` and `initrd` are the files on it. */
  disk: string;
  kernel: string;
  initrd: string;
}

export interface QemuAvailability {
  available: boolean;
  /** Programs and files that are not there. */
  missing: string[];
  /** The Debian and Ubuntu packages that hold them. */
  packages: string[];
}

/** Whether this machine can run QEMU machines. Looks only; starts nothing. */
export function qemuAvailable(): QemuAvailability {
  const missing = [
    ...Object.entries(PROGRAMS).filter(([name]) => findProgram(name) === null),
    ...Object.entries(FILES).filter(([path]) => !existsSync(path)),
  ];
  return {
    available: missing.length === 0,
    missing: missing.map(([what]) => what),
    packages: [...new Set(missing.map(([, debianPackage]) => debianPackage))].sort(),
  };
}

/**
 * Ensures all that QEMU machines need: the tools (never installed here, but named), the accelerator, and the disk image,
 * built once for each state of its recipe and kept in `cacheDir`. `refused` in one sentence when something is missing.
 */
export async function prepareQemuLab(options: { cacheDir: string; log?: (line: string) => void }): Promise<QemuLab> {
  const found = qemuAvailable();
  if (!found.available) {
    throw new PitstopError(
      "refused",
      `QEMU machines need ${found.missing.join(", ")}; install the packages: apt-get install ${found.packages.join(" ")}.`,
    );
  }
  const qemu = findProgram("qemu-system-x86_64") ?? "qemu-system-x86_64";
  const folder = await ensureDiskImage(options.cacheDir, options.log ?? (() => {}));
  const kernel = join(folder, "vmlinuz");
  const choice = await chooseAccelerator(qemu, kernel, join(options.cacheDir, "kvm-probe.json"));
  return {
    ...choice,
    qemu,
    ovmf: OVMF,
    ipxeEfi: IPXE_EFI,
    disk: join(folder, "disk.img"),
    kernel,
    initrd: join(folder, "initrd.img"),
  };
}

async function ensureDiskImage(cacheDir: string, log: (line: string) => void): Promise<string> {
  const recipe = recipeFolder();
  const folder = join(cacheDir, `lab-disk-${digestOf(recipe).slice(0, 16)}`);
  if (existsSync(join(folder, "disk.img"))) return folder;
  mkdirSync(cacheDir, { recursive: true });
  const unfinished = mkdtempSync(join(cacheDir, "lab-disk-building-"));
  try {
    const build = execa(join(recipe, "build-disk"), [unfinished], {
      ...{ timeout: BUILD_MS, all: true, reject: false, extendEnv: false, env: bareEnvironment() },
    });
    build.all?.on("data", (chunk: Buffer) => {
      for (const line of chunk.toString().split("\n")) if (line.trim() !== "") log(line.trim());
    });
    const { failed, all } = await build;
    if (failed) {
      const last = (all ?? "").trim().split("\n").slice(-3).join("; ");
      throw new PitstopError("unreachable", `The lab's disk could not be built: ${last || "build-disk failed"}.`);
    }
    // Whoever is first wins; a second builder's result is the same.
    if (!existsSync(folder)) renameSync(unfinished, folder);
    return folder;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** images/lab, found from the source tree as well as from dist/. */
function recipeFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const recipe = join(folder, "images", "lab");
    if (existsSync(join(recipe, "build-disk"))) return recipe;
    const parent = dirname(folder);
    if (parent === folder) {
      throw new PitstopError("internal", "images/lab/build-disk is missing; install Pitstop from a whole clone.");
    }
    folder = parent;
  }
}

function digestOf(folder: string): string {
  const hash = createHash("sha256");
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && !path.endsWith(".md"))
    .sort();
  for (const path of paths) {
    const bytes = readFileSync(path);
    hash.update(`${relative(folder, path)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

function findProgram(name: string): string | null {
  // The sbin folders are not on the PATH of every user.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

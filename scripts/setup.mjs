// What a fresh clone needs before anything of ours can run: Node, dependencies, OS packages, the build.
// Plain JavaScript without dependencies, because it runs before there are any. Every step says what it does, once.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian's package and what shows that it is there: a program on PATH, or a file, whose folder may have any version (`*`). */
export const OS_PACKAGES = {
  lab: [
    ["qemu-system-x86", "qemu-system-x86_64"],
    ["qemu-utils", "qemu-img"],
    ["ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd"],
    ["ipxe", "/usr/lib/ipxe/ipxe.efi"],
    ["ipxe-qemu", "/usr/lib/ipxe/qemu/pxe-virtio.rom"],
    ["syslinux", "syslinux"],
    ["syslinux-common", "/usr/lib/syslinux/mbr/mbr.bin"],
    ["mtools", "mcopy"],
    ["dosfstools", "mkfs.vfat"],
    ["fdisk", "sfdisk"],
    ["e2fsprogs", "mke2fs"],
  ],
  image: [
    ["busybox-static", "busybox"],
    ["cpio", "cpio"],
    ["zstd", "zstd"],
    ["xz-utils", "xz"],
    ["binutils", "readelf"],
    ["kmod", "depmod"],
  ],
  // What a site makes virtual media with.
  media: [
    ["grub-common", "grub-mkimage"],
    ["grub-pc-bin", "/usr/lib/grub/i386-pc/kernel.img"],
    ["grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/kernel.img"],
    ["xorriso", "xorriso"],
    ["mtools", "mcopy"],
  ],
  agent: [
    ["curl", "curl"],
    ["jq", "jq"],
    ["openssl", "openssl"],
  ],
  test: [
    ["xfsprogs", "mkfs.xfs"],
    ["chromium", "chromium"],
    ["openssh-client", "ssh"],
    ["postgresql", "/usr/lib/postgresql/*/bin/postgres"],
    ["python3-venv", "/usr/lib/python3*/ensurepip"],
    ["strace", "strace"],
    ["procps", "pgrep"],
  ],
};

/** Whether a package's probe is met; programs are looked for as root would find them. */
export function has(probe, path = process.env.PATH ?? "") {
  if (probe.startsWith("/")) return filesOf(probe).some((file) => allows(file, constants.R_OK));
  return [...path.split(delimiter), "/usr/sbin", "/sbin"].some((dir) => allows(join(dir, probe), constants.X_OK));
}

/** The files that a path with at most one `*` stands for. */
function filesOf(path) {
  const parts = path.split("/");
  const at = parts.findIndex((part) => part.includes("*"));
  if (at === -1) return [path];
  const folder = parts.slice(0, at).join("/");
  const [start = "", end = ""] = parts[at].split("*");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .filter((name) => name.startsWith(start) && name.endsWith(end))
    .map((name) => [folder, name, ...parts.slice(at + 1)].join("/"));
}

function allows(file, mode) {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Node.js 20.19 to 26: test/e2e/node-versions.deep.test.ts runs on each. A later one is used, and said. */
export function checkNode() {
  const { node } = process.versions;
  const [major, minor] = node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Pitstop needs Node.js 20.19 to 26; this is ${node}. Install a newer one and start again.`);
  }
  if (major > 26) console.log(`Pitstop is tested on Node.js 20.19 to 26; this is ${node}.`);
}

/** Dependencies as the lockfile says; a stamp makes the second start instant. */
export function ensureDependencies() {
  const digest = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stamp = join(root, "node_modules", ".pitstop-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  // What is there is taken as it is: npm ci would remove it from under whoever uses it now.
  if (process.env.PITSTOP_NO_INSTALL === "1" && existsSync(dirname(stamp))) return;
  console.log("installing the npm dependencies (npm ci)");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: root, stdio: "inherit" });
  if (npm.status !== 0) fail("npm ci failed; its message is above. Start again when the registry can be reached.");
  writeFileSync(stamp, digest);
}

/**
 * Ensures the OS packages of the groups. Debian and Ubuntu as root: installed, saying so, unless
 * PITSTOP_NO_INSTALL=1 forbids it. Else: told what is missing. Returns the groups that are complete.
 */
export function ensureOsPackages(groups) {
  const missing = (group) => OS_PACKAGES[group].filter(([, probe]) => !has(probe)).map(([name]) => name);
  let wanted = groups.flatMap(missing);
  const apt = has("apt-get") && process.getuid?.() === 0;
  if (wanted.length > 0 && apt && process.env.PITSTOP_NO_INSTALL !== "1") {
    console.log(`installing OS packages: ${wanted.join(" ")}`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const run = (...args) => spawnSync("apt-get", ["-qq", ...args], { env, stdio: ["ignore", "ignore", "inherit"] });
    run("update");
    const installed = run("install", "-y", "--no-install-recommends", ...wanted);
    if (installed.status !== 0) console.error("apt-get could not install all of them; its message is above.");
    wanted = groups.flatMap(missing);
  }
  if (wanted.length > 0) {
    const why =
      process.env.PITSTOP_NO_INSTALL === "1" ? "PITSTOP_NO_INSTALL=1 forbids to install them" : "install them";
    console.log(`missing OS packages (${why}): ${wanted.join(" ")}`);
  }
  return groups.filter((group) => missing(group).length === 0);
}

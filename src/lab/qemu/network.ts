import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PitstopError } from "../../domain/errors.js";
import { freePort } from "../../free-port.js";
import { HOST_SEEN_BY_GUEST } from "../guest-network.js";

/** The file name's field in a BOOTP answer, without its end. */
const MAX_BOOT_FILE_BYTES = 127;

/** What DHCP names as boot file: the boot server's entrance, at an address that the guest can reach. */
export function bootFileUrl(siteUrl: string): string {
  const url = new URL("/boot.ipxe", siteUrl);
  if (["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].includes(url.hostname)) url.hostname = HOST_SEEN_BY_GUEST;
  if (url.href.length > MAX_BOOT_FILE_BYTES) {
    throw new PitstopError("invalid", `The site's URL is too long for DHCP: ${siteUrl}; use a shorter host name.`);
  }
  return url.href;
}

/**
 * UEFI's PXE client and iPXE ask the same DHCP server, whose only answer is the boot file's URL. iPXE fetches it; the
 * firmware takes it for a path on the TFTP server. So this folder has iPXE itself at that path, and the firmware
 * loads what then asks again.
 */
export function ensureTftpFolder(folder: string, bootFile: string, ipxeEfi: string): string {
  rmSync(folder, { recursive: true, force: true });
  const path = join(folder, bootFile);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(ipxeEfi, path);
  return folder;
}

/** Ensures that the machine has one port for its home check as long as its folder lives: targets' documents name it. */
export async function ensureHomePort(file: string, wanted: number | undefined): Promise<number> {
  const kept = existsSync(file) ? Number(readFileSync(file, "utf8")) : Number.NaN;
  const port = wanted ?? (Number.isInteger(kept) && kept > 0 ? kept : await freePort());
  if (port !== kept) writeFileSync(file, `${port}\n`);
  return port;
}

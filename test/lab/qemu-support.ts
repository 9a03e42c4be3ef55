import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { cacheFolder } from "../../src/cache-folder.js";
import type { QemuMachine } from "../../src/lab/qemu/machine.js";
import { prepareQemuLab, type QemuLab } from "../../src/lab/qemu/prepare.js";

/** Two cores, emulated machines and a busy neighbour: ten times what a quiet host needs. */
export const BOOT_MS = 300_000;

export const labForTests = (): Promise<QemuLab> => prepareQemuLab({ cacheDir: cacheFolder() });

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "pitstop-qemu-test-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Home {
  machineId: string;
  bootId: string;
  bootCount: number;
  userFileSha256: string;
  hostname: string;
}

/** The home check's answer, or null: the forwarded port accepts connections whatever the guest does. */
export async function askHome(homeUrl: string): Promise<Home | null> {
  try {
    const response = await fetch(homeUrl, { signal: AbortSignal.timeout(2000) });
    return response.ok ? ((await response.json()) as Home) : null;
  } catch {
    return null;
  }
}

export async function waitForHome(homeUrl: string, timeoutMs = BOOT_MS): Promise<Home> {
  return await until(() => askHome(homeUrl), `home at ${homeUrl}`, timeoutMs);
}

/** What a failed test shows: the end of the serial console, without terminal control sequences. */
export function consoleTail(machine: QemuMachine): string {
  const text = readFileSync(machine.consoleLog, "latin1").slice(-6000);
  return `${machine.name}'s console ends with:\n${stripVTControlCharacters(text).replaceAll(/\r?\n\s*(\r?\n)+/g, "\n")}`;
}

export async function until<T>(
  look: () => Promise<T | null> | T | null,
  what: string,
  timeoutMs = BOOT_MS,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(50);
  }
}

export interface Hello {
  uuid: string;
  firmware: string;
  bootId: string;
  atMs: number;
  /** Seconds since kernel start. */
  uptime: number;
}

/** A boot server as small as can be: one script, one kernel, and an image that says hello and does what it is told. */
export class NetBoot {
  readonly requests: string[] = [];
  readonly hellos: Hello[] = [];
  /** The whole answer to `/boot.ipxe`; null is 404. */
  script: string | null = null;
  readonly #server: Server;
  readonly #files: Record<string, string>;
  readonly #folder = temporaryFolder();

  private constructor(lab: QemuLab) {
    this.#files = {
      "/vmlinuz": lab.kernel,
      "/lab.img": lab.initrd,
      "/hello.img": helloInitrd(this.#folder.path),
      "/snponly.efi": lab.ipxeEfi,
    };
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://netboot");
      this.requests.push(`${request.method} ${url.pathname}`);
      if (url.pathname === "/hello") {
        this.#hello(url);
        response.end("hello\n");
      } else if (url.pathname === "/boot.ipxe" && this.script !== null) {
        response.end(this.script);
      } else {
        const file = this.#files[url.pathname];
        if (!file) {
          response.writeHead(404).end();
          return;
        }
        response.writeHead(200, {
          "content-length": statSync(file).size,
          "content-type": file.endsWith(".efi") ? "application/efi" : "application/octet-stream",
        });
        if (request.method === "HEAD") response.end();
        else createReadStream(file).pipe(response);
      }
    });
  }

  static async start(lab: QemuLab): Promise<NetBoot> {
    const netBoot = new NetBoot(lab);
    await new Promise<void>((resolve) => netBoot.#server.listen(0, "127.0.0.1", resolve));
    return netBoot;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get guestOrigin(): string {
    return this.origin.replace("127.0.0.1", "10.0.2.2");
  }

  /** A script that boots the image, which says hello and then `reboot`s or goes `poweroff`. */
  bootScript(then: "reboot" | "poweroff"): string {
    const url = this.guestOrigin;
    return [
      "#!ipxe",
      `kernel ${url}/vmlinuz console=ttyS0 panic=5 hello=${url}/hello then=${then} initrd=lab.img initrd=hello.img`,
      `initrd --name lab.img ${url}/lab.img`,
      `initrd --name hello.img ${url}/hello.img`,
      "boot",
      "",
    ].join("\n");
  }

  forget(): void {
    this.requests.length = 0;
    this.hellos.length = 0;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#folder.remove();
  }

  #hello(url: URL): void {
    const text = (name: string): string => url.searchParams.get(name) ?? "";
    this.hellos.push({
      ...{ uuid: text("uuid"), firmware: text("firmware"), bootId: text("boot"), atMs: Date.now() },
      uptime: Number(text("uptime")),
    });
  }
}

/** An archive that replaces the lab's own init: the kernel unpacks one initrd over the other. */
function helloInitrd(folder: string): string {
  const root = join(folder, "root");
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "init"), HELLO_INIT, { mode: 0o755 });
  const archive = execFileSync("cpio", ["--quiet", "-o", "-H", "newc"], { cwd: root, input: "init\n" });
  const padded = Buffer.alloc(Math.ceil(archive.length / 512) * 512);
  archive.copy(padded);
  const file = join(folder, "hello.img");
  writeFileSync(file, padded);
  return file;
}

const HELLO_INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for name in $($b cat /modules/order); do $b insmod "/modules/$name.ko"; done
for word in $($b cat /proc/cmdline); do
  case $word in hello=*) hello=\${word#hello=} ;; then=*) next=\${word#then=} ;; esac
done
$b ip addr add 10.0.2.15/24 dev eth0
$b ip link set eth0 up
firmware=bios
[ -d /sys/firmware/efi ] && firmware=uefi
uuid=$($b cat /sys/class/dmi/id/product_uuid)
boot=$($b cat /proc/sys/kernel/random/boot_id)
up=$($b cut -d ' ' -f 1 /proc/uptime)
$b wget -q -O /dev/null "$hello?uuid=$uuid&firmware=$firmware&boot=$boot&uptime=$up"
$b "$next" -f
`;

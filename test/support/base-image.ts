import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cpioArchive } from "../../src/boot/cpio.js";
import { cacheFolder } from "../../src/cache-folder.js";
import { prepareBaseImage } from "../../workers/prepare.js";
import { sessionOf, sessionText } from "./agent.js";
import type { TestGateway } from "./gateway.js";

const run = promisify(execFile);

export interface BaseImage {
  folder: string;
  kernel: string;
  initrd: string;
  manifest: {
    files: Record<"vmlinuz" | "initrd", { sha256: string; bytes: number }>;
    cmdline: string[];
    packages: Record<string, string>;
  };
}

/** The image as its recipe makes it: the one that `npm start` uses, unless it goes to a folder of its own. */
export async function buildBaseImage(variant: "cloud" | "generic" = "cloud", folder?: string): Promise<BaseImage> {
  const out = folder ?? (await prepareBaseImage(() => undefined, variant)).folder;
  if (folder) {
    const args = ["--variant", variant, "--out", folder, "--cache", join(cacheFolder(), "debs")];
    await run("images/base/build", args, { timeout: 15 * 60_000, maxBuffer: 16 << 20 });
  }
  const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8")) as BaseImage["manifest"];
  return { folder: out, kernel: join(out, "vmlinuz"), initrd: join(out, "initrd"), manifest };
}

/** A virtual machine without firmware's part: QEMU loads kernel, initrd and session archive by itself. */
export class ImageMachine {
  readonly folder = mkdtempSync(join(tmpdir(), "pitstop-image-"));
  #child: ChildProcess;
  console = "";

  constructor(
    image: BaseImage,
    gateway: TestGateway,
    options: { session?: Record<string, string | number>; args?: string[] } = {},
  ) {
    const session = sessionOf(gateway, { PITSTOP_TLS_URL: `https://10.0.2.2:${gateway.port}`, ...options.session });
    const archive = cpioArchive([
      { path: "etc", mode: 0o040755 },
      { path: "etc/pitstop", mode: 0o040755 },
      { path: "etc/pitstop/ca.pem", mode: 0o100644, content: Buffer.from(gateway.certificate.caPem) },
      { path: "etc/pitstop/session", mode: 0o100600, content: Buffer.from(sessionText(session)) },
    ]);
    const initrd = join(this.folder, "initrd");
    writeFileSync(initrd, Buffer.concat([readFileSync(image.initrd), archive]));
    // /dev/kvm may exist and not work: software emulation is what runs everywhere.
    const args = ["-accel", "tcg", "-cpu", "max", "-m", "512", "-display", "none", "-no-reboot"];
    args.push(
      "-serial",
      "stdio",
      "-kernel",
      image.kernel,
      "-initrd",
      initrd,
      "-append",
      image.manifest.cmdline.join(" "),
    );
    args.push("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=", ...(options.args ?? []));
    this.#child = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.console += chunk.toString();
      });
    }
  }

  /** Resolves when the guest has powered off or reset. */
  async over(timeoutMs: number): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await once(this.#child, "exit", { signal: AbortSignal.timeout(timeoutMs) }).catch((error: unknown) => {
      throw new Error(`the machine still runs; its console says:\n${this.console}`, { cause: error });
    });
  }

  /** Pulls the plug. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

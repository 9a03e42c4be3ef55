import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { cpioArchive } from "../../src/boot/cpio.js";
import { cacheFolder } from "../../src/cache-folder.js";
import { prepareQemuLab, qemuAvailable } from "../../src/lab/qemu/index.js";
import { MAC, planOf, sha256, sites, type TestSite, UUID } from "./help.js";

const newSite = sites();
const machines: ChildProcess[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.kill("SIGKILL");
});

const OVMF = "/usr/share/OVMF/OVMF_CODE.fd";
const BUSYBOX = "/bin/busybox";
const ready = qemuAvailable().available && existsSync(BUSYBOX);

/** A first process that says on the serial console what it found, and turns the machine off. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "CMDLINE $(/bin/busybox cat /proc/cmdline)"
/bin/busybox ls -lnd /etc/pitstop /etc/pitstop/session /etc/pitstop/ca.pem
/bin/busybox cat /etc/pitstop/session
echo "CA $(/bin/busybox head -n 1 /etc/pitstop/ca.pem)"
echo IMAGE-RAN
/bin/busybox poweroff -f
`;

/** Odd on purpose: the boot server has to pad it, or the EFI stub drops the archive that follows. */
function tinyInitrd(): Buffer {
  const archive = cpioArchive([
    { path: "bin", mode: 0o040755 },
    { path: "bin/busybox", mode: 0o100755, content: readFileSync(BUSYBOX) },
    { path: "dev", mode: 0o040755 },
    { path: "proc", mode: 0o040755 },
    { path: "init", mode: 0o100755, content: Buffer.from(INIT) },
  ]);
  let end = archive.length;
  while (archive[end - 1] === 0) end--;
  return archive.subarray(0, end + 4 - (end % 4) + 4);
}

/** A disk whose boot sector writes «AT-HOME» to the serial port and halts: 8086 code for 0x7c00. */
function homeDisk(): Buffer {
  const text = Buffer.from("AT-HOME\r\n\0", "ascii");
  const code = Buffer.from([
    0xfa,
    0x31,
    0xc0,
    0x8e,
    0xd8,
    0xbe,
    0x00,
    0x7d, // cli; ds = 0; si = 0x7d00
    0xba,
    0xf8,
    0x03,
    0xac,
    0x84,
    0xc0,
    0x74,
    0x03, // dx = COM1; lodsb; stop at 0
    0xee,
    0xeb,
    0xf8,
    0xf4,
    0xeb,
    0xfd, // out; loop; hlt for ever
  ]);
  const disk = Buffer.alloc(1024 * 1024);
  code.copy(disk, 0);
  text.copy(disk, 0x100);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

async function boot(site: TestSite, firmware: "bios" | "uefi", uuid: string, until: string): Promise<string> {
  const disk = join(site.folder, "disk");
  writeFileSync(disk, homeDisk());
  const filename = `http://10.0.2.2:${site.running.ports.http}/boot.ipxe`;
  const vars = join(site.folder, "vars.fd");
  if (firmware === "uefi") copyFileSync("/usr/share/OVMF/OVMF_VARS.fd", vars);
  const uefi = [`if=pflash,format=raw,readonly=on,file=${OVMF}`, `if=pflash,format=raw,file=${vars}`].flatMap(
    (drive) => ["-drive", drive],
  );
  const machine = spawn("qemu-system-x86_64", [
    ..."-accel tcg -machine q35 -m 512 -display none -serial stdio -monitor none -no-reboot -boot order=nc".split(" "),
    ...["-uuid", uuid, "-drive", `file=${disk},format=raw,if=ide`],
    ...["-netdev", `user,id=n,bootfile=${filename}`, "-device", `virtio-net-pci,netdev=n,mac=${MAC}`],
    ...(firmware === "uefi" ? uefi : []),
  ]);
  machines.push(machine);
  let output = "";
  const told = new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${why}:\n${output.slice(-3000)}`));
    const timer = setTimeout(() => fail(`no ${until} on the console`), 100_000);
    machine.stderr.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    machine.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("latin1");
      if (output.includes(until)) resolve(output);
    });
    machine.once("exit", () => {
      clearTimeout(timer);
      fail(`QEMU ended without ${until}`);
    });
  });
  try {
    return await told;
  } finally {
    machine.kill("SIGKILL");
    if (machine.exitCode === null && machine.signalCode === null) await once(machine, "exit");
  }
}

describe.skipIf(!ready)("a virtual machine with Debian's iPXE", () => {
  it.each(["bios", "uefi"] as const)(
    "boots the session's image under %s and finds the session in it",
    async (firmware) => {
      const built = await prepareQemuLab({ cacheDir: cacheFolder() });
      const site = await newSite();
      const initrd = tinyInitrd();
      expect(initrd.length % 512).not.toBe(0);
      copyFileSync(built.kernel, join(site.images, "kernel"));
      writeFileSync(join(site.images, "tiny"), initrd);
      await site.publish(
        planOf({
          firmware,
          kernel: { url: "file:images/kernel", sha256: sha256(readFileSync(built.kernel)) },
          initrds: [{ url: "file:images/tiny", sha256: sha256(initrd) }],
          cmdline: ["console=ttyS0,115200", "quiet"],
        }),
      );
      const console = await boot(site, firmware, UUID, "IMAGE-RAN");
      const minted = site.site.entry("r1-n07")?.boot?.nonces.at(-1)?.nonce;
      expect(console).toContain("panic=30 oops=panic");
      expect(console).toContain(`PITSTOP_NONCE='${minted}'`);
      expect(console).toContain("PITSTOP_TARGET='r1-n07'");
      expect(console).toMatch(/drwxr-xr-x +2 0 +0 .*\/etc\/pitstop\r?\n/);
      expect(console).toMatch(/-rw------- +1 0 +0 .*\/etc\/pitstop\/session/);
      expect(console).toContain("CA -----BEGIN CERTIFICATE-----");
      expect(site.site.contacts("r1-n07")).toEqual({ scriptFetched: true, kernelFetched: true, initrdFetched: true });
    },
    120_000,
  );

  it("that nobody knows goes on to its own disk", async () => {
    const site = await newSite();
    expect(await boot(site, "bios", "aaaaaaaa-0042-4810-8051-b4c04f4e4d31", "AT-HOME")).toContain("AT-HOME");
  }, 120_000);

  it.each(["exit", "sanboot"])(
    "goes home by %s, and when a file of its image is missing",
    async (home) => {
      const site = await newSite();
      const plan = planOf({ home });
      await site.site.open(plan, plan.session);
      await boot(site, "bios", UUID, "AT-HOME");
      await site.publish(plan);
      // The bytes are damaged behind the cache's back: they are not served, and the script goes home.
      writeFileSync(join(site.folder, "site", "cache", plan.image?.kernel.sha256 ?? ""), "other");
      await boot(site, "bios", UUID, "AT-HOME");
      expect(site.site.contacts("r1-n07")).toMatchObject({ scriptFetched: true, kernelFetched: false });
    },
    220_000,
  );
});

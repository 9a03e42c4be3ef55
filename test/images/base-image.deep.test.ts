import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Action } from "../../src/domain/action.js";
import { InventoryReport } from "../../src/domain/inventory.js";
import { type BaseImage, buildBaseImage, ImageMachine } from "../support/base-image.js";
import {
  diskDigest,
  driveArgs,
  ext4Disk,
  hibernatedDisk,
  isXfsLogDirty,
  leaveJournalDirty,
  lvmDisk,
  mdMemberDisk,
  xfsDisk,
} from "../support/disks.js";
import { freePort } from "../support/free-port.js";
import { TestGateway } from "../support/gateway.js";
import { hangKernel } from "../support/guest-kernel.js";
import { builtinAction } from "./actions.js";

/** Software emulation on a busy machine: a boot that takes 6 s alone has been seen to take 40. */
const CONTACT_MS = 300_000;

let image: BaseImage;
let gateway: TestGateway;
let machine: ImageMachine | undefined;
let folder: string;

const inventory = Action.parse(builtinAction("inventory.yaml"));
const script = inventory.tasks[0]?.script ?? "";

beforeAll(async () => {
  image = await buildBaseImage();
}, 15 * 60_000);
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-disks-"));
  gateway = await TestGateway.start();
});
afterEach(async () => {
  await machine?.dispose();
  machine = undefined;
  await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Options = ConstructorParameters<typeof ImageMachine>[2];
async function boot(options: Options = {}, from = image): Promise<ImageMachine> {
  const started = new ImageMachine(from, gateway, {
    ...options,
    session: { PITSTOP_LEASE_SECONDS: 300, ...options.session },
  });
  machine = started;
  await gateway
    .until(() => gateway.hellos.length > 0, "hello", CONTACT_MS)
    .catch((error: unknown) => {
      throw new Error(`no contact; the console says:\n${started.console}`, { cause: error });
    });
  return started;
}

async function takeInventory(): Promise<InventoryReport> {
  gateway.offer({ id: "inventory", script, timeoutSeconds: 120 });
  const result = await gateway.result("inventory", CONTACT_MS);
  expect(result, gateway.logs.get("inventory")?.toString()).toMatchObject({ status: "succeeded", exitCode: 0 });
  return InventoryReport.parse(result.finding);
}

describe("the recipe", () => {
  it("kernel and initrd are under 25 MB together, as the manifest says, and end on a multiple of 512", () => {
    const { vmlinuz, initrd } = image.manifest.files;
    expect(vmlinuz.bytes + initrd.bytes).toBeLessThan(25_000_000);
    expect(statSync(image.initrd).size).toBe(initrd.bytes);
    expect(initrd.bytes % 512).toBe(0);
    for (const [file, said] of [
      [image.kernel, vmlinuz],
      [image.initrd, initrd],
    ] as const) {
      expect(createHash("sha256").update(readFileSync(file)).digest("hex")).toBe(said.sha256);
    }
  });

  it("makes the same bytes again", async () => {
    const again = await buildBaseImage("cloud", join(folder, "again"));
    expect(again.manifest).toEqual(image.manifest);
  }, 300_000);
});

describe("the image in a machine", () => {
  it("leaves dirty ext4 and XFS, md and LVM members as they were, and reports them with the system installed", async () => {
    const disks = {
      root: ext4Disk(folder, "root", "0123456789abcdef0123456789abcdef"),
      data: xfsDisk(folder, "data"),
      raid: mdMemberDisk(folder, "raid"),
      volume: lvmDisk(folder, "volume"),
    };
    leaveJournalDirty(disks.root);
    const drives = Object.entries(disks).flatMap(([serial, file]) => driveArgs(file, serial));

    // An XFS log is made dirty as in life: a task that may write to it does, and the power is cut.
    let running = await boot({ args: drives });
    gateway.offer({
      id: "dirty",
      script: `modprobe xfs && mount -t xfs /dev/vdb /mnt && echo work >/mnt/file && sync && mv /mnt/file /mnt/other && sync
        dd if=/dev/zero of=/dev/vda bs=512 count=1 2>&1; dd if=/dev/zero of=/dev/vdc bs=512 count=1 2>&1
        echo written; sleep 60`,
      unlock: ["/dev/vdb"],
    });
    const rootDigest = diskDigest(disks.root);
    const said = () => gateway.logs.get("dirty")?.toString() ?? "";
    await gateway.until(() => said().includes("written"), "the dirtied disk", CONTACT_MS);
    expect(said().match(/Operation not permitted/g)).toHaveLength(2);
    await running.kill();
    await running.dispose();
    await gateway.stop();
    expect(diskDigest(disks.root)).toBe(rootDigest);
    expect(isXfsLogDirty(disks.data)).toBe(true);

    const before = Object.values(disks).map(diskDigest);
    gateway = await TestGateway.start();
    running = await boot({ args: [...drives, "-rtc", "base=1971-02-03"] });
    const report = await takeInventory();
    gateway.finish("off");
    await running.over(60_000);
    expect(Object.values(disks).map(diskDigest)).toEqual(before);

    expect(report.disks.map((disk) => [disk.serial, disk.readOnly])).toEqual([
      ["root", true],
      ["data", true],
      ["raid", true],
      ["volume", true],
    ]);
    expect(report.disks[0]?.sizeBytes).toBe(64 << 20);
    expect(report.disks[0]?.bootSector?.sha256).toBe(
      createHash("sha256").update(readFileSync(disks.root).subarray(0, 512)).digest("hex"),
    );
    expect(report.installed).toEqual([
      {
        device: "/dev/vda",
        name: "Test Linux root",
        version: "7",
        machineId: "0123456789abcdef0123456789abcdef",
        hostname: "root",
      },
    ]);
    expect(report.nics).toMatchObject([{ driver: "virtio_net", link: true }]);
    expect(report.pci.some((device) => device.vendor === "Red Hat, Inc." && device.driver === "virtio-pci")).toBe(true);
    expect(report.memory.modules.length).toBeGreaterThan(0);
    expect(report.firmware.mode).toBe("bios");
  }, 400_000);

  it("mounts nothing beside a hibernated system, and leaves its disks as they were", async () => {
    const disks = {
      sleeping: hibernatedDisk(folder, "sleeping"),
      root: ext4Disk(folder, "root", "0123456789abcdef0123456789abcdef"),
    };
    leaveJournalDirty(disks.root);
    const before = Object.values(disks).map(diskDigest);
    const drives = Object.entries(disks).flatMap(([serial, file]) => driveArgs(file, serial));
    const running = await boot({ args: [...drives, "-rtc", "base=2099-01-02"] });
    const report = await takeInventory();
    gateway.finish("off");
    await running.over(60_000);
    expect(Object.values(disks).map(diskDigest)).toEqual(before);
    expect(report.installed).toEqual([]);
    expect(report.disks.every((disk) => disk.readOnly)).toBe(true);
    expect(gateway.logs.get("inventory")?.toString()).toContain("hibernated");
  }, 300_000);

  it("a disk that is plugged in later is read-only before anybody looks", async () => {
    const monitor = join(folder, "monitor");
    const running = await boot({ args: ["-device", "virtio-scsi-pci", "-monitor", `unix:${monitor},server,nowait`] });
    const disk = ext4Disk(folder, "late", "0123456789abcdef0123456789abcdef");
    gateway.offer({
      id: "late",
      script: `n=0; while [ ! -e /sys/block/sda ] && [ $n -lt 300 ]; do usleep 100000; n=$((n + 1)); done
        usleep 500000; cat /sys/block/sda/ro; dd if=/dev/zero of=/dev/sda bs=512 count=1 2>&1`,
    });
    await plug(monitor, `drive_add 0 file=${disk},format=raw,if=none,id=late`, "device_add scsi-hd,drive=late");
    const before = diskDigest(disk);
    await gateway.result("late", CONTACT_MS);
    expect(gateway.logs.get("late")?.toString()).toMatch(/^1\n.*Operation not permitted/s);
    await running.kill();
    expect(diskDigest(disk)).toBe(before);
  }, 200_000);

  it("goes home by itself when its lease is over, and its console says why", async () => {
    const running = await boot({ session: { PITSTOP_WAS_OFF: 1 } });
    gateway.leaseSeconds = 3;
    gateway.cancel("nothing");
    await gateway.result("nothing", CONTACT_MS);
    await gateway.stop();
    await running.over(60_000);
    expect(running.console).toContain("dead-man: no lease any more; going home (off)");
  }, 300_000);
});

describe("the generic variant", () => {
  it("finds SATA, NVMe and their SMART, a real network card, and a hardware watchdog that resets a kernel that hangs", async () => {
    const generic = await buildBaseImage("generic");
    const { vmlinuz, initrd } = generic.manifest.files;
    expect(vmlinuz.bytes + initrd.bytes).toBeLessThan(25_000_000);
    const drive = (file: string, id: string) => ["-drive", `file=${file},format=raw,if=none,id=${id}`];
    const args = ["-machine", "q35", "-device", "i6300esb", "-watchdog-action", "reset"];
    const gdb = await freePort();
    args.push("-gdb", `tcp:127.0.0.1:${gdb}`);
    args.push("-netdev", "user,id=n1", "-device", "e1000e,netdev=n1,romfile=");
    args.push(...drive(lvmDisk(folder, "a"), "a"), "-device", "ide-hd,drive=a,serial=SATA1");
    args.push(...drive(lvmDisk(folder, "b"), "b"), "-device", "nvme,drive=b,serial=NVME1");
    const running = await boot({ args }, generic);
    const report = await takeInventory();
    expect(report.disks.map((disk) => [disk.serial, disk.transport, disk.readOnly, disk.smart.healthy])).toEqual([
      ["NVME1", "nvme", true, true],
      ["SATA1", "sata", true, true],
    ]);
    expect(report.nics.map((nic) => nic.driver).sort()).toEqual(["e1000e", "virtio_net"]);
    const dogs = `cat /sys/class/watchdog/watchdog*/identity /sys/class/watchdog/watchdog*/state >/dev/console`;
    gateway.offer({ id: "dogs", script: `${dogs}; echo both fed >/dev/console`, timeoutSeconds: 60 });
    await gateway.result("dogs", CONTACT_MS);
    expect(running.console).toMatch(/Software Watchdog\s+i6300ESB timer\s+active\s+active\s+both fed/);
    // Interrupts off, for good: softdog is as dead as all else, and no panic comes.
    await hangKernel(gdb);
    await running.over(120_000);
    expect(running.console).not.toMatch(/dead-man|softdog: Initiating|panic/);
  }, 900_000);
});

/** Types lines into QEMU's monitor. */
async function plug(socket: string, ...lines: string[]): Promise<void> {
  const connection = connect(socket);
  connection.resume();
  await new Promise<void>((resolve) => connection.once("connect", resolve));
  for (const line of lines) {
    connection.write(`${line}\n`);
    await new Promise((done) => setTimeout(done, 300));
  }
  connection.end();
}

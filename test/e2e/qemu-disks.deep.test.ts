import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { InventoryReport } from "../../src/domain/inventory.js";
import {
  ext4Disk,
  hibernate,
  isXfsLogDirty,
  leaveJournalDirty,
  lvmDisk,
  mdMemberDisk,
  swapDisk,
  xfsDisk,
} from "../support/disks.js";
import { expectDisksUntouched, expectHome, expectRestored } from "../support/expectations.js";
import { Operations, type PowerOn, type RunningMachine, SESSION_MS } from "../support/operations.js";

const MACHINE_ID = "0123456789abcdef0123456789abcdef";

/** Writes to the XFS and leaves it mounted, as a system does that loses its power; then tries the disk before it. */
const DIRTY_XFS = {
  kind: "Action",
  name: "dirty-xfs",
  image: "pitstop-base",
  mode: "active",
  destructive: true,
  tasks: [
    {
      name: "dirty",
      destructive: true,
      devices: ["/dev/vdc"],
      script: [
        "modprobe xfs && mkdir -p /run/xfs && mount -t xfs /dev/vdc /run/xfs || exit 1",
        "echo work >/run/xfs/file && sync && mv /run/xfs/file /run/xfs/other && sync",
        "refused=true; dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null && refused=false",
        `echo "{\\"otherDiskRefused\\": $refused}"`,
      ].join("\n"),
    },
  ],
};

describe("a machine with disks that nobody may touch", { timeout: SESSION_MS }, () => {
  const folder = mkdtempSync(join(tmpdir(), "pitstop-disks-"));
  let operations: Operations;
  let machine: RunningMachine;
  let powerOns: PowerOn[];
  let disks: { root: string; data: string; raid: string; volume: string; swap: string };
  beforeAll(async () => {
    disks = {
      root: ext4Disk(folder, "root", MACHINE_ID),
      data: xfsDisk(folder, "data"),
      raid: mdMemberDisk(folder, "raid"),
      volume: lvmDisk(folder, "volume"),
      swap: swapDisk(folder, "swap"),
    };
    leaveJournalDirty(disks.root);
    operations = await Operations.start();
    machine = await operations.machine({ name: "e2e-disks", kind: "qemu", extraDisks: Object.values(disks) });
    await machine.home();
    powerOns = machine.watchDisks();
  }, SESSION_MS);
  beforeEach(({ onTestFailed }) => {
    powerOns.length = 0;
    onTestFailed(() => console.log(operations.consoleTail()));
  });
  afterAll(async () => {
    await operations?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("has only the disk written that a destructive task names and its owner allows", async () => {
    await operations.apply(DIRTY_XFS);
    await expect(operations.run("e2e-disks", "dirty-xfs")).resolves.toMatchObject({
      ...{ outcome: "failed", ending: "restored", untouched: true, powerActions: [] },
      failure: { code: "refused", message: expect.stringContaining("destructive-over-lan") },
    });
    const { document } = machine;
    await operations.apply({ ...document, boot: { ...document.boot, allow: ["destructive-over-lan"] } });

    const before = await machine.home();
    const record = await operations.run("e2e-disks", "dirty-xfs");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expect(record.findings).toEqual({ dirty: { otherDiskRefused: true } });
    await expectHome(record, machine, before, 1);
    const [away, next] = powerOns;
    const written = away?.digests.map((digest, index) => digest !== next?.digests[index]);
    expect(written).toEqual([false, false, true, false, false, false]);
    expect(isXfsLogDirty(disks.data)).toBe(true);
  });

  it("keeps dirty ext4, XFS with a log to replay, md and LVM members and swap to the last byte in an inventory", async () => {
    const before = await machine.home();
    const record = await operations.run("e2e-disks", "inventory");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expectDisksUntouched(powerOns, 6);
    expect(isXfsLogDirty(disks.data)).toBe(true);
    expectRestored(record, machine);
    await expectHome(record, machine, before, 1);

    const report = InventoryReport.parse(record.findings?.inventory);
    expect(report.disks.map(({ serial, readOnly }) => [serial, readOnly])).toEqual([
      ["disk", true],
      ["extra0", true],
      ["extra1", true],
      ["extra2", true],
      ["extra3", true],
      ["extra4", true],
    ]);
    expect(report.installed).toMatchObject([
      { device: "/dev/vda2", machineId: before.machineId, hostname: "e2e-disks" },
      { device: "/dev/vdb", machineId: MACHINE_ID, hostname: "root" },
    ]);
  });

  it("has nothing mounted beside a system that hibernates, and keeps every byte", async () => {
    hibernate(disks.swap);
    const before = await machine.home();
    const record = await operations.run("e2e-disks", "inventory");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expectDisksUntouched(powerOns, 6);
    expectRestored(record, machine);
    await expectHome(record, machine, before, 1);
    const report = InventoryReport.parse(record.findings?.inventory);
    expect(report.disks.map(({ readOnly }) => readOnly)).toEqual(Array(6).fill(true));
    expect(report.installed).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";
import { inventorySummary } from "../../src/cli/inventory.js";
import { processIo } from "../../src/cli/io.js";
import type { InventoryReport } from "../../src/domain/inventory.js";

const io = { ...processIo(), colour: false };
const GIB = 1024 ** 3;

type Disk = InventoryReport["disks"][number];
const disk = (name: string, more: Partial<Disk> = {}): Disk => ({
  ...{ name, model: "PM9A3", serial: "S1", sizeBytes: 960_197_124_096, logicalBlockBytes: 512, rotational: false },
  ...{ removable: false, readOnly: true, transport: "nvme", partitionTable: null, partitions: [], bootSector: null },
  smart: { available: true, healthy: true, temperatureC: 31, powerOnHours: 12_034 },
  ...more,
});

const dimm = { locator: "A1", sizeBytes: 32 * GIB, type: "DDR4", speedMTs: 3200, manufacturer: null, partNumber: null };
const REPORT: InventoryReport = {
  schema: "pitstop.inventory/1",
  firmware: { mode: "uefi", vendor: "Dell Inc.", version: "1.9.2", date: "2023-05-24", secureBoot: false },
  system: { manufacturer: "Dell Inc.", product: "PowerEdge R650", serial: "7XK21", uuid: null, board: null },
  cpu: {
    ...{ model: "Intel(R) Xeon(R) Gold 6338 CPU", vendor: "GenuineIntel", sockets: 2, cores: 64, threads: 128 },
    ...{ maxMHz: 3200, flags: [], vulnerabilities: {} },
  },
  memory: { totalBytes: 251 * GIB, modules: Array.from({ length: 8 }, () => dimm) },
  pci: [],
  disks: [
    disk("nvme0n1", {
      partitionTable: "gpt",
      partitions: [
        { name: "nvme0n1p1", sizeBytes: 536_870_912, filesystem: "vfat", label: null, uuid: null },
        { name: "nvme0n1p2", sizeBytes: 959_000_000_000, filesystem: "ext4", label: null, uuid: null },
      ],
    }),
    disk("sda", {
      ...{ model: "ST4000NM", sizeBytes: 4_000_787_030_016, transport: "sata", rotational: true },
      smart: { available: true, healthy: false, temperatureC: 40, powerOnHours: 60_000 },
    }),
  ],
  nics: [{ name: "eno1", mac: "52:54:00:12:34:01", driver: "bnxt_en", link: true, speedMbps: 25_000 }],
  installed: [
    { device: "/dev/nvme0n1p2", name: "Debian GNU/Linux", version: "12", machineId: null, hostname: "r1-n07" },
  ],
};

const summary = (report: unknown, colour = false) =>
  inventorySummary({ ...io, colour }, { findings: { inventory: report } });

describe("the summary of an inventory", () => {
  it("tells machine, processors, memory, disks, network and the system on them", () => {
    expect(summary(REPORT)).toBe(`\
machine     Dell Inc. PowerEdge R650, serial number 7XK21
firmware    UEFI Dell Inc. 1.9.2 of 2023-05-24, Secure Boot off
processors  2 × Intel(R) Xeon(R) Gold 6338 CPU, 64 cores, 128 threads, up to 3.2 GHz
memory      251 GiB usable, 8 × 32 GiB DDR4 at 3200 MT/s
disks       nvme0n1  960 GB  nvme solid     PM9A3     gpt, nvme0n1p1 537 MB vfat, nvme0n1p2 959 GB ext4
            sda      4 TB    sata rotating  ST4000NM  FAILING, no partitions
network     eno1  52:54:00:12:34:01  bnxt_en  link up 25 Gbit/s
system      Debian GNU/Linux 12 on /dev/nvme0n1p2, host name r1-n07
`);
  });

  it("paints a disk that fails, and names one that could have been written to", () => {
    const disks = [disk("sda", { readOnly: false }), disk("sdb", { smart: { ...disk("sdb").smart, healthy: false } })];
    const [sda, sdb] = summary({ ...REPORT, disks }, true)
      .split("\n")
      .filter((line) => /sd[ab]/.test(line));
    expect(sda).toContain("writable, no partitions");
    expect(sda).not.toContain("\u001b[31m");
    expect(sdb).toContain("\u001b[31msdb");
  });

  it("says what the hardware does not say, and what is not there", () => {
    const nothing = { manufacturer: null, product: null, serial: null, uuid: null, board: null };
    const bare = { ...REPORT, system: nothing, disks: [], nics: [], installed: [] };
    const said = summary(bare);
    expect(said).toContain("machine     the hardware does not say\n");
    expect(said).toContain("disks       none\n");
    expect(said).toContain("system      none was found on the disks\n");
    expect(said).not.toContain("network");
  });

  it("shows the first of many disks, and how many more there are", () => {
    const said = summary({ ...REPORT, disks: Array.from({ length: 36 }, (_, i) => disk(`sd${i}`)) });
    expect(said.match(/PM9A3/g)).toHaveLength(11);
    expect(said).toContain("and 25 more\n");
  });

  it("shows a machine's escape sequences, and does not obey them", () => {
    const system = { ...REPORT.system, product: "\u001b[2JR650" };
    expect(summary({ ...REPORT, system })).toContain("\\x1b[2JR650");
  });

  it("is empty for a session that took no inventory", () => {
    expect(inventorySummary(io, { findings: null })).toBe("");
    expect(summary({ schema: "pitstop.memory/1" })).toBe("");
  });
});

import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { InventoryReport } from "../../src/domain/inventory.js";
import {
  AWAY_AND_HOME,
  expectDisksUntouched,
  expectHome,
  expectPhases,
  expectPowerActions,
  expectRestored,
} from "../support/expectations.js";
import { Operations, type RunningMachine, SESSION_MS } from "../support/operations.js";

describe("a running BIOS machine", { timeout: SESSION_MS }, () => {
  let operations: Operations;
  let machine: RunningMachine;
  beforeAll(async () => {
    operations = await Operations.start();
    machine = await operations.machine({ name: "e2e-bios", kind: "qemu", firmware: "bios" });
    await machine.home();
    await machine.writeNotes("what a user wrote before any maintenance\n");
  }, SESSION_MS);
  beforeEach(({ onTestFailed }) => {
    machine.bmc.journal.clear();
    onTestFailed(() => console.log(operations.consoleTail()));
  });
  afterAll(async () => {
    await operations?.stop();
  });

  it("is inventoried in the image, which writes to no disk, and comes home as it was", async () => {
    const before = await machine.home();
    const powerOns = machine.watchDisks();
    const record = await operations.run("e2e-bios", "inventory");

    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", untouched: false, image: "pitstop-base" });
    expect(record).toMatchObject({ failure: null, stranded: null, diagnoses: [], requestedBy: "a test" });
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot pitstop-base"],
      ["On", "boot pitstop-base"],
      ["On", "go home"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start pxe", "guest-off", "start disk"]);
    await expectHome(record, machine, before, 1);
    expectDisksUntouched(powerOns, 1);
    expect(record.contacts).toMatchObject([{ epoch: 1, firmware: "bios" }]);
    expect(record.contacts[0]?.uptimeSeconds).toBeGreaterThan(0);
    expect(record.overheadMs).toBeGreaterThan(0);

    const report = InventoryReport.parse(record.findings?.inventory);
    const { uuid, macs } = machine.machine;
    expect(report.system).toMatchObject({ manufacturer: "Pitstop", serial: "e2e-bios", uuid });
    expect(report.firmware).toMatchObject({ mode: "bios", vendor: "SeaBIOS", secureBoot: null });
    expect(report.memory.modules).toMatchObject([{ sizeBytes: machine.machine.memoryMiB << 20 }]);
    expect(report.cpu).toMatchObject({ threads: machine.machine.cpus });
    expect(report.nics).toMatchObject([{ mac: macs[0], driver: "virtio_net", link: true }]);
    expect(report.disks).toMatchObject([{ name: "vda", serial: "disk", readOnly: true, partitionTable: "dos" }]);
    expect(report.disks[0]?.bootSector).toEqual({ sha256: sha256(machine.bootSector()), signature: true });
    expect(report.installed).toEqual([
      {
        ...{ device: "/dev/vda2", name: "Pitstop lab system", version: "1" },
        ...{ machineId: before.machineId, hostname: "e2e-bios" },
      },
    ]);
  });
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

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

describe("a running UEFI machine", { timeout: SESSION_MS }, () => {
  let operations: Operations;
  let machine: RunningMachine;
  beforeAll(async () => {
    operations = await Operations.start();
    machine = await operations.machine({ name: "e2e-uefi", kind: "qemu", firmware: "uefi" });
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

  it("boots iPXE as an EFI application from a URI, is inventoried, and comes home with its boot order", async () => {
    // No option ROM is in the way: iPXE can only have come from the boot server.
    expect(machine.arguments().filter((argument) => argument.startsWith("virtio-net-pci"))).toEqual([
      expect.stringMatching(/,romfile=$/),
    ]);
    const before = await machine.home();
    const menu = { order: await machine.machine.bootOrder(), options: await machine.machine.bootOptions() };
    expect(menu.order[0]).toBe("Boot0100");
    const powerOns = machine.watchDisks();
    const record = await operations.run("e2e-uefi", "inventory");

    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null, diagnoses: [] });
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expect(record.restore.after?.bootOrder).toMatchObject(menu.order.map((reference) => ({ reference })));
    expect({ order: await machine.machine.bootOrder(), options: await machine.machine.bootOptions() }).toEqual(menu);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot pitstop-base"],
      ["On", "boot pitstop-base"],
      ["On", "go home"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start uefi-http", "guest-off", "start disk"]);
    await expectHome(record, machine, before, 1);
    expectDisksUntouched(powerOns, 1);

    expect(record.contacts).toMatchObject([{ epoch: 1, firmware: "uefi" }]);
    const report = InventoryReport.parse(record.findings?.inventory);
    expect(report.firmware).toMatchObject({ mode: "uefi", secureBoot: false });
    expect(report.installed).toMatchObject([{ machineId: before.machineId, hostname: "e2e-uefi" }]);
  });
});

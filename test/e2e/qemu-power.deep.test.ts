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
import { Operations, SESSION_MS, until } from "../support/operations.js";

describe("a machine that does not simply shut down and start", { timeout: SESSION_MS }, () => {
  let operations: Operations;
  beforeAll(async () => {
    operations = await Operations.start();
  });
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => console.log(operations.consoleTail()));
  });
  afterAll(async () => {
    await operations?.stop();
  });

  it("that was off is off again after the work, and its own system was not started", async () => {
    const machine = await operations.machine({ name: "e2e-off", kind: "qemu" });
    const before = await machine.home();
    await machine.machine.pressPowerButton();
    await until(() => (machine.machine.isOn() ? null : true), "the shutdown", 60_000);
    machine.bmc.journal.clear();
    const powerOns = machine.watchDisks();

    const record = await operations.run("e2e-off", "inventory");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expect(record.restore.before?.power).toBe("Off");
    expect(record.home).toMatchObject({ proved: true, strength: "off", before: [] });
    expect(record.home?.checks).toMatchObject([{ answered: false }]);
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expectPowerActions(record, machine, [["On", "boot pitstop-base"]]);
    expect(machine.powerEvents()).toEqual(["start pxe", "guest-off"]);
    expect(machine.machine.isOn()).toBe(false);
    const report = InventoryReport.parse(record.findings?.inventory);
    expect(report.installed).toMatchObject([{ machineId: before.machineId }]);

    // Its own system counts its starts: the next one is the first since before the session.
    await machine.machine.start({ from: "disk" });
    expect(await machine.home()).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
    expectDisksUntouched(powerOns, 1);
  });

  it("that ignores its power button is left running by default, and disarmed", async () => {
    const machine = await operations.machine({
      ...{ name: "e2e-deaf", kind: "qemu", ignorePowerButton: true },
      shutdown: { graceful: "5s", then: "abort" },
    });
    const before = await machine.home();
    machine.bmc.journal.clear();

    const record = await operations.run("e2e-deaf", "inventory");
    expect(record).toMatchObject({ outcome: "failed", ending: "restored", contacts: [], findings: null });
    expect(record.failure).toMatchObject({ code: "refused", message: expect.stringContaining("did not power off") });
    expectPhases(
      record,
      AWAY_AND_HOME.filter((phase) => phase !== "working"),
    );
    expectRestored(record, machine);
    expectPowerActions(record, machine, [["GracefulShutdown", "boot pitstop-base"]]);
    expect(machine.powerEvents()).toEqual(["button"]);
    await expectHome(record, machine, before, 0);
  });

  it("that ignores its power button is forced where its owner allows that, and comes home", async () => {
    const machine = await operations.machine({
      ...{ name: "e2e-deaf", kind: "qemu", ignorePowerButton: true },
      shutdown: { graceful: "5s", then: "force" },
    });
    const before = await machine.home();
    machine.bmc.journal.clear();

    const record = await operations.run("e2e-deaf", "passive-check");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot pitstop-base"],
      ["ForceOff", "boot pitstop-base"],
      ["On", "boot pitstop-base"],
      ["On", "go home"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "kill", "start pxe", "guest-off", "start disk"]);
    await expectHome(record, machine, before, 1);
  });

  it("that resets in the midst of the work is seen in its own system, and proved home without a further boot", async () => {
    const machine = await operations.machine({ name: "e2e-reset", kind: "qemu" });
    const tasks = [{ name: "reset", script: "echo b >/proc/sysrq-trigger; sleep 60" }];
    await operations.apply({ kind: "Action", name: "reset", image: "pitstop-base", mode: "active", tasks });
    const before = await machine.home();
    machine.bmc.journal.clear();
    const powerOns = machine.watchDisks();

    const record = await operations.run("e2e-reset", "reset");
    expect(record).toMatchObject({ outcome: "failed", ending: "restored", contacts: [{ epoch: 1 }] });
    expect(record.failure).toMatchObject({
      code: "rebooted",
      message: expect.stringContaining("its own system answers"),
    });
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot pitstop-base"],
      ["On", "boot pitstop-base"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start pxe", "guest-reset", "start disk"]);
    await expectHome(record, machine, before, 1);
    expectDisksUntouched(powerOns, 1);
  });
});

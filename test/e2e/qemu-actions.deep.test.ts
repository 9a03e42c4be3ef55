import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  AWAY_AND_HOME,
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

  it("does a passive action's work by itself and comes home", async () => {
    const before = await machine.home();
    const record = await operations.run("e2e-bios", "passive-check");
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expect(record.tasks).toMatchObject([{ name: "memory", status: "succeeded", exitCode: 0 }]);
    const { memoryBytes } = z.object({ memoryBytes: z.number() }).parse(record.findings?.memory);
    const installed = machine.machine.memoryMiB << 20;
    expect(memoryBytes).toBeGreaterThan(0.8 * installed);
    expect(memoryBytes).toBeLessThan(installed);
    expectPhases(record, AWAY_AND_HOME);
    expectRestored(record, machine);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start pxe", "guest-off", "start disk"]);
    await expectHome(record, machine, before, 1);
  });

  it("is power-cycled by reboot-only without an image, and its return is proved", async () => {
    const before = await machine.home();
    const record = await operations.run("e2e-bios", "reboot-only");
    expect(record).toMatchObject({
      outcome: "succeeded",
      ending: "restored",
      image: null,
      contacts: [],
      findings: null,
    });
    expectPhases(record, ["planning", "capturing", "rebooting", "restoring", "verifying", "restored"]);
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "reboot-only: power cycle"],
      ["On", "go home"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start disk"]);
    await expectHome(record, machine, before, 1);
  });
});

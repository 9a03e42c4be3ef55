import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectHome, expectPowerActions, expectRestored } from "../support/expectations.js";
import { Operations, type RunningMachine, SESSION_MS } from "../support/operations.js";

/** A real kernel whose initrd is noise: it panics where it looks for its root. */
const FETCHED = { scriptFetched: true, kernelFetched: true, initrdFetched: true };

describe("an image that never makes contact", { timeout: SESSION_MS }, () => {
  let operations: Operations;
  let machine: RunningMachine;
  beforeAll(async () => {
    operations = await Operations.start();
    machine = await operations.machine({ name: "e2e-mute", kind: "qemu" });
    const kernel = operations.imageFile("vmlinuz", readFileSync(await operations.baseKernel()));
    const initrds = [operations.imageFile("noise", randomBytes(64 << 10))];
    const image = { kind: "Image", role: "maintenance", arch: "x86_64", kernel, initrds };
    const action = { kind: "Action", mode: "active" };
    await operations.apply(
      { ...image, name: "hangs", cmdline: ["console=ttyS0", "panic=0"] },
      { ...image, name: "resets", cmdline: ["console=ttyS0", "panic=1"] },
      { ...action, name: "hang", image: "hangs", limits: { boot: "45s", bootAttempts: 1, home: "75s" } },
      { ...action, name: "reset", image: "resets", limits: { boot: "100s", bootAttempts: 2 } },
    );
    await machine.home();
  }, SESSION_MS);
  beforeEach(({ onTestFailed }) => {
    machine.bmc.journal.clear();
    onTestFailed(() => console.log(operations.consoleTail()));
  });
  afterAll(async () => {
    await operations?.stop();
  });

  it("and hangs is found out at its deadline, forced off when its own system would be up, and brought home", {
    timeout: 2 * SESSION_MS,
  }, async () => {
    const before = await machine.home();
    // A boot's deadline, and then the time of an own system that does not come.
    const record = await operations.run("e2e-mute", "hang", 2 * SESSION_MS);
    expect(record).toMatchObject({ outcome: "failed", ending: "restored", contacts: [], findings: null });
    expect(record.failure).toMatchObject({ code: "noContact", message: expect.stringContaining("in 1 boot:") });
    expect(record.diagnoses).toMatchObject([{ ...FETCHED, power: "On", homeAnswering: false }]);
    expect(record.diagnoses[0]?.summary).toContain("its agent did not call");
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot hangs"],
      ["On", "boot hangs"],
      ["ForceOff", "leave the image"],
      ["On", "go home"],
    ]);
    expect(machine.powerEvents()).toEqual(["button", "guest-off", "start pxe", "kill", "start disk"]);
    await expectHome(record, machine, before, 1);
  });

  it("and resets leads home by itself, is armed once more, and is given up without a further reboot", async () => {
    const before = await machine.home();
    const record = await operations.run("e2e-mute", "reset");
    expect(record).toMatchObject({ outcome: "failed", ending: "restored", contacts: [], findings: null });
    expect(record.failure).toMatchObject({ code: "noContact", message: expect.stringContaining("in 2 boots:") });
    const seen = { ...FETCHED, power: "On", homeAnswering: true };
    expect(record.diagnoses).toMatchObject([seen, seen]);
    expect(record.diagnoses[1]?.summary).toContain("went on to its disk");
    expectRestored(record, machine);
    expectPowerActions(record, machine, [
      ["GracefulShutdown", "boot resets"],
      ["On", "boot resets"],
      ["GracefulShutdown", "boot resets (attempt 2)"],
      ["On", "boot resets (attempt 2)"],
    ]);
    const boot = ["button", "guest-off", "start pxe", "guest-reset", "start disk"];
    expect(machine.powerEvents()).toEqual([...boot, ...boot]);
    await expectHome(record, machine, before, 2);
  });
});

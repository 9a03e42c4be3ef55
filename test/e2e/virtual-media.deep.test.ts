import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
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

describe.each(["bios", "uefi"] as const)(
  "a running %s machine with a virtual CD",
  { timeout: SESSION_MS },
  (firmware) => {
    const name = `e2e-media-${firmware}`;
    let operations: Operations;
    let machine: RunningMachine;
    beforeAll(async () => {
      operations = await Operations.start();
      machine = await operations.machine({ name, kind: "qemu", firmware, via: ["virtual-media"] });
      await machine.home();
      await machine.writeNotes("what a user wrote before any maintenance\n");
    }, SESSION_MS);
    beforeEach(({ onTestFailed }) => {
      machine.bmc.journal.clear();
      onTestFailed(() => console.log(operations.consoleTail()));
    });
    afterEach(() => {
      expect(machine.bmc.insertedImage).toBeNull();
    });
    afterAll(async () => {
      await operations?.stop();
    });

    it("boots the image from the medium that its BMC fetched over TLS, is inventoried, and comes home as it was", async () => {
      const before = await machine.home();
      const menu = { order: await machine.machine.bootOrder(), options: await machine.machine.bootOptions() };
      const powerOns = machine.watchDisks();
      const record = await operations.run(name, "inventory");

      expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null, diagnoses: [] });
      expectPhases(record, AWAY_AND_HOME);
      expectRestored(record, machine);
      expect({ order: await machine.machine.bootOrder(), options: await machine.machine.bootOptions() }).toEqual(menu);
      expectPowerActions(record, machine, [
        ["GracefulShutdown", "boot pitstop-base"],
        ["On", "boot pitstop-base"],
        ["On", "go home"],
      ]);
      expect(machine.powerEvents()).toEqual(["button", "guest-off", "start cd", "guest-off", "start disk"]);
      expect(machine.bmc.journal.media).toMatchObject([
        { url: expect.stringMatching(/^https:\/\/[0-9.]+:\d+\/m\/[A-Za-z0-9_-]{32}\/pitstop-base\.iso$/) },
      ]);
      await expectHome(record, machine, before, 1);
      expectDisksUntouched(powerOns, 1);
      expect(record.contacts).toMatchObject([{ epoch: 1, firmware }]);
      const report = InventoryReport.parse(record.findings?.inventory);
      expect(report.firmware.mode).toBe(firmware);
      expect(report.installed).toMatchObject([{ machineId: before.machineId, hostname: name }]);
    });

    it("is reset by a medium whose kernel does not start, boots its own disk, and the medium is taken out", async () => {
      const before = await machine.home();
      await operations.apply(
        {
          ...{ kind: "Image", name: "broken", role: "maintenance", arch: "x86_64" },
          kernel: operations.imageFile("no-kernel", randomBytes(65_536)),
          initrds: [operations.imageFile("no-initrd", randomBytes(4096))],
        },
        {
          ...{ kind: "Action", name: "boot-nothing", image: "broken", mode: "active" },
          tasks: [{ name: "nothing", script: "true" }],
          limits: { boot: "2m", bootAttempts: 1 },
        },
      );
      const record = await operations.run(name, "boot-nothing");

      expect(record).toMatchObject({ outcome: "failed", ending: "restored", contacts: [] });
      expect(record.diagnoses).toMatchObject([
        { homeAnswering: true, summary: expect.stringContaining("the virtual CD did not boot") },
      ]);
      // The medium's own reset spent the one-time override, so that it was the disk's turn.
      expect(machine.powerEvents().slice(0, 5)).toEqual([
        "button",
        "guest-off",
        "start cd",
        "guest-reset",
        "start disk",
      ]);
      expectRestored(record, machine);
      const now = await machine.home();
      expect(now).toMatchObject({ machineId: before.machineId, userFileSha256: before.userFileSha256 });
    });
  },
);

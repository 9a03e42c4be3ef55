import { afterEach, describe, expect, test } from "vitest";
import { BmcHarness, SYSTEM } from "./bmc-harness.js";
import { RecordingMachine } from "./bmc-machine.js";

let bmc: BmcHarness;
afterEach(() => bmc?.stop());

const once = (target: string) => ({ BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: target });
const override = async (): Promise<unknown[]> => {
  const boot = (await bmc.ask("GET", SYSTEM)).json.Boot as Record<string, unknown>;
  return [boot.BootSourceOverrideEnabled, boot.BootSourceOverrideTarget];
};
const power = async (): Promise<unknown> => (await bmc.ask("GET", SYSTEM)).json.PowerState;

describe("Reset", () => {
  const cases: [string, "on" | "off", number, string[]][] = [
    ["On", "off", 204, ["start disk"]],
    ["On", "on", 204, []],
    ["ForceOn", "off", 204, ["start disk"]],
    ["ForceOff", "on", 204, ["kill"]],
    ["ForceOff", "off", 204, []],
    ["GracefulShutdown", "on", 204, ["button"]],
    ["GracefulShutdown", "off", 204, []],
    ["GracefulRestart", "on", 204, ["button", "start disk"]],
    ["GracefulRestart", "off", 409, []],
    ["ForceRestart", "on", 204, ["kill", "start disk"]],
    ["ForceRestart", "off", 409, []],
    ["PowerCycle", "on", 204, ["kill", "start disk"]],
    ["PushPowerButton", "on", 204, ["button"]],
    ["PushPowerButton", "off", 204, ["start disk"]],
    ["Nmi", "on", 204, []],
    ["Nmi", "off", 409, []],
    ["Explode", "on", 400, []],
  ];
  test.each(cases)("%s of a machine that is %s: %i, %j", async (type, from, status, done) => {
    bmc = await BmcHarness.start();
    if (from === "on") await bmc.reset("On");
    bmc.machine.done.length = 0;
    expect((await bmc.reset(type)).status).toBe(status);
    // A GracefulRestart goes on when the system has shut down.
    await bmc.bmc.settled();
    expect(bmc.machine.done).toEqual(done);
  });

  test("takes effect after its answer, and what follows waits for it", async () => {
    bmc = await BmcHarness.start({ timing: { offMs: [100, 100], onMs: [5, 5], cycleMs: [5, 5] } });
    await bmc.reset("On");
    const post = (ResetType: string) =>
      bmc.ask("POST", `${SYSTEM}/Actions/ComputerSystem.Reset`, { body: { ResetType } });
    expect((await post("ForceOff")).status).toBe(204);
    expect(await power()).toBe("On");
    expect((await post("On")).status).toBe(204);
    await bmc.bmc.settled();
    expect(bmc.machine.done).toEqual(["start disk", "kill", "start disk"]);
  });

  test("a system that ignores the button stays on", async () => {
    bmc = await BmcHarness.start();
    bmc.machine.obeysButton = false;
    await bmc.reset("On");
    await bmc.reset("GracefulShutdown");
    expect(await power()).toBe("On");
  });

  test("a machine that does not start is off, its override unspent, and the journal says why", async () => {
    bmc = await BmcHarness.start();
    bmc.machine.failsToStart = true;
    await bmc.patchBoot(once("Pxe"));
    await bmc.reset("On");
    expect(await power()).toBe("Off");
    expect(await override()).toEqual(["Once", "Pxe"]);
    expect(bmc.bmc.journal.events.at(-1)).toMatchObject({ what: "start-failed", why: "no start today" });
  });
});

describe("the boot override", () => {
  test("Once is spent by the boot that uses it, and not by power-off", async () => {
    bmc = await BmcHarness.start();
    await bmc.reset("On");
    await bmc.patchBoot(once("Pxe"));
    await bmc.reset("ForceOff");
    expect(await override()).toEqual(["Once", "Pxe"]);
    await bmc.reset("On");
    expect(await override()).toEqual(["Disabled", "None"]);
    await bmc.reset("ForceRestart");
    expect(bmc.machine.done.slice(-4)).toEqual(["kill", "start pxe", "kill", "start disk"]);
  });

  test("Once is spent by a reset that the guest makes by itself; the power stays on meanwhile", async () => {
    bmc = await BmcHarness.start();
    await bmc.reset("On");
    await bmc.patchBoot({ ...once("UefiHttp"), HttpBootUri: "http://127.0.0.1:1/u/x/ipxe.efi" });
    await bmc.machine.kill();
    bmc.machine.emit("reset");
    expect(await power()).toBe("On");
    await bmc.bmc.settled();
    expect(bmc.machine.done.at(-1)).toBe("start uefi-http http://127.0.0.1:1/u/x/ipxe.efi");
    expect(await override()).toEqual(["Disabled", "None"]);
  });

  test("Continuous stays until it is taken back", async () => {
    bmc = await BmcHarness.start();
    await bmc.patchBoot({ BootSourceOverrideEnabled: "Continuous", BootSourceOverrideTarget: "Cd" });
    await bmc.reset("On");
    await bmc.reset("ForceRestart");
    expect(bmc.machine.done).toEqual(["start cd", "kill", "start cd"]);
    await bmc.patchBoot({ BootSourceOverrideEnabled: "Disabled" });
    expect(await override()).toEqual(["Disabled", "None"]);
  });

  test("an override written while the machine starts belongs to the next boot", async () => {
    bmc = await BmcHarness.start({ timing: { offMs: [1, 1], onMs: [1, 1], cycleMs: [1, 1] } });
    await bmc.patchBoot(once("Pxe"));
    const start = bmc.machine.start.bind(bmc.machine);
    bmc.machine.start = async (boot) => {
      await start(boot);
      if (boot.from === "pxe") await bmc.patchBoot(once("Hdd"));
    };
    await bmc.reset("On");
    expect(await override()).toEqual(["Once", "Hdd"]);
  });
});

test.each(["just before", "just after"])(
  "a reset of the guest %s its power is cut does not switch it on again",
  async (when) => {
    bmc = await BmcHarness.start();
    await bmc.reset("On");
    const kill = bmc.machine.kill.bind(bmc.machine);
    bmc.machine.kill = async () => {
      if (when === "just before") bmc.machine.emit("reset");
      await kill();
      if (when === "just after") bmc.machine.emit("reset");
    };
    await bmc.reset("ForceOff");
    await bmc.bmc.settled();
    expect(await power()).toBe("Off");
  },
);

describe("a restart of the lab", () => {
  test("keeps override, asset tag and power policy, and applies the policy", async () => {
    bmc = await BmcHarness.start();
    await bmc.reset("On");
    await bmc.patchBoot(once("Pxe"));
    await bmc.ask("PATCH", SYSTEM, { body: { AssetTag: "a7" } });
    const machine = await bmc.restart();
    await bmc.bmc.settled();
    expect(machine.done).toEqual(["start pxe"]);
    expect((await bmc.ask("GET", SYSTEM)).json).toMatchObject({ AssetTag: "a7", PowerState: "On" });
  });

  test("leaves a machine off that was off", async () => {
    bmc = await BmcHarness.start({ initialPower: "on" });
    await bmc.bmc.settled();
    await bmc.reset("ForceOff");
    const machine = await bmc.restart();
    await bmc.bmc.settled();
    expect(machine.done).toEqual([]);
  });

  test("a machine that turned itself off counts as off", async () => {
    bmc = await BmcHarness.start();
    await bmc.reset("On");
    bmc.machine.turnOff();
    await bmc.bmc.settled();
    expect((await bmc.restart(new RecordingMachine("m1", bmc.machine.uuid))).done).toEqual([]);
  });
});

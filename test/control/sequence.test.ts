import { afterEach, describe, expect, it } from "vitest";
import { captureBootState, compareBootStates, powerOf, restoreBootState } from "../../src/control/boot-state.js";
import type { BootChoice, Capabilities } from "../../src/control/control.js";
import { ensureOff, ensureOn } from "../../src/control/ensure.js";
import { armedOn } from "../../src/control/transitions.js";
import type { FaultSpec } from "../../src/lab/bmc/faults/index.js";
import { armNextBoot } from "../../src/ways/network-first.js";
import { BmcHarness, LOGIN } from "../lab/bmc-harness.js";
import { controlOf, type Hands, targetOf } from "./help.js";

let harness: BmcHarness | null = null;
/** Runs only where a session waits, so that the number of requests does not depend on this machine's speed. */
let now = 0;
const wait = () => {
  now += 60_000;
};
afterEach(async () => {
  await harness?.stop();
  harness = null;
});

async function start(change: { firmware?: "uefi" | "bios"; faults?: FaultSpec[] } = {}) {
  harness = await BmcHarness.start({ initialPower: "on", ...change });
  await harness.bmc.settled();
  const { bmc, machine } = harness;
  const target = targetOf(
    bmc.url,
    { fingerprint256: bmc.fingerprint256 },
    {
      identity: { uuid: machine.uuid },
      boot: { firmware: machine.firmware, via: ["pxe"] },
    },
  );
  const control = await controlOf(target, {
    now: () => now,
    credentials: async () => ({ user: LOGIN.userName, password: LOGIN.password }),
  });
  return { bmc, machine, control };
}

const GRACEFUL = { mode: "graceful", gracefulMs: 10_000, then: "abort" } as const;

/** What a session asks of a control, in its order, each activity with its own proof: leave, work, come home, compare. */
async function session(control: Hands, choice: BootChoice) {
  const arm = async (can: Capabilities) => await armNextBoot(can, control.target, choice);
  const power = async () => powerOf(await control.prove());
  const before = await captureBootState(await control.prove());
  wait(); // while the image is staged
  await arm(await control.prove());
  await ensureOff(await power(), GRACEFUL, { why: "to maintenance" });
  const can = await control.prove();
  await armedOn(can, () => arm(can), { why: "to maintenance" });
  wait(); // while it works
  await ensureOff(await power(), { mode: "force" }, { why: "back home" });
  await restoreBootState(await control.prove(), before, false);
  await ensureOn(await power(), { why: "back home" });
  wait(); // for the home check
  const after = await captureBootState(await control.prove());
  const { differences, added } = compareBootStates(await control.can(), before, after);
  await control.close();
  return { differences, added };
}

describe("a whole session against the lab's BMC", () => {
  it("goes and comes by PXE with at most 20 requests besides power polls", async () => {
    const { bmc, machine, control } = await start();
    expect(await session(control, { via: "pxe" })).toEqual({ differences: [], added: [] });
    expect(machine.done).toEqual(["start disk", "button", "start pxe", "kill", "start disk"]);
    const { total, powerPolls } = control.usage();
    console.info(`requests of a session: ${total - powerPolls}, and ${powerPolls} power polls`);
    expect(total - powerPolls).toBeLessThanOrEqual(20);
    expect(bmc.override.enabled).toBe("Disabled");
  });

  it("goes and comes by UEFI HTTP boot", async () => {
    const { machine, control } = await start();
    const uri = "http://127.0.0.1:8481/boot/ipxe.efi";
    expect((await session(control, { via: "uefi-http", uri })).differences).toEqual([]);
    expect(machine.done).toContain(`start uefi-http ${uri}`);
  });

  it("goes and comes on a machine with a BIOS", async () => {
    const { machine, control } = await start({ firmware: "bios" });
    expect((await session(control, { via: "pxe" })).differences).toEqual([]);
    expect(machine.done).toContain("start pxe");
  });

  it("survives sessions that end at any moment", async () => {
    const { bmc, control } = await start();
    await control.identify();
    const before = await control.readState();
    bmc.dropSessions();
    await control.arm({ via: "pxe" });
    bmc.dropSessions();
    await ensureOff(powerOf(await control.can()), GRACEFUL, { why: "test" });
    bmc.dropSessions();
    await control.restoreOverride(before.override);
    expect(bmc.override.enabled).toBe("Disabled");
  });

  it("writes to the settings resource where the BMC wants it there", async () => {
    const { bmc, control } = await start({ faults: [{ fault: "settings-object" }] });
    expect((await session(control, { via: "pxe" })).differences).toEqual([]);
    expect(bmc.override.enabled).toBe("Disabled");
  });

  it("puts the boot order right that an installer changed", async () => {
    const { bmc, machine, control } = await start();
    const { bootOrder } = await control.readState();
    await ensureOff(powerOf(await control.can()), GRACEFUL, { why: "test" });
    machine.order = ["Boot0001", "Boot0000"];
    await control.power();
    await control.restoreBootOrder(bootOrder);
    expect(machine.order).toEqual(["Boot0000", "Boot0001"]);
    await bmc.settled();
  });
});

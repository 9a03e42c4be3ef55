import { describe, expect, it } from "vitest";
import { captureBootState, compareBootStates, pendingIn, refuseUnreadable } from "../../src/control/boot-state.js";
import { isKnown } from "../../src/domain/reading.js";
import type { BootState } from "../../src/domain/snapshot.js";
import type { FakeBmc, Json } from "./fake-bmc.js";
import { connect, failure, known, startBmc } from "./help.js";

const SYSTEM = "/redfish/v1/Systems/1";
const clock = () => {
  let now = 0;
  return () => {
    now += 10_000;
    return now;
  };
};

/** A machine whose system shows `change` instead. */
const showing = (change: Json) =>
  startBmc((b) => {
    b.root.ProtocolFeaturesSupported = {};
    b.faults.push(({ method, path }) =>
      method === "GET" && path === SYSTEM
        ? { status: 200, body: { ...b.system, PowerState: b.power, Boot: b.boot, ...change } }
        : undefined,
    );
  });

describe("a section that shows in a form without meaning", () => {
  it.each<[string, "override" | "bootOrder" | "secureBoot" | "media", (b: FakeBmc) => void]>([
    ["Enabled is a number", "override", (b) => Object.assign(b.boot, { BootSourceOverrideEnabled: 1 })],
    [
      "Enabled is a word that Redfish does not have",
      "override",
      (b) => Object.assign(b.boot, { BootSourceOverrideEnabled: "Maybe" }),
    ],
    ["the target is a list", "override", (b) => Object.assign(b.boot, { BootSourceOverrideTarget: ["Pxe"] })],
    ["the order is a text", "bootOrder", (b) => Object.assign(b.boot, { BootOrder: "Boot0001" })],
    ["the order has a number", "bootOrder", (b) => Object.assign(b.boot, { BootOrder: ["Boot0001", 2] })],
    ["Secure Boot is a text", "secureBoot", (b) => Object.assign(b.secureBoot, { SecureBootEnable: "no" })],
    ["a slot is neither full nor empty", "media", (b) => Object.assign(b.media, { Inserted: "perhaps" })],
    [
      "the slots are no list",
      "media",
      (b) =>
        b.faults.push(({ path }) =>
          path.includes("/VirtualMedia") ? { status: 200, body: { Members: {} } } : undefined,
        ),
    ],
  ])("is unreadable, ends the session untouched, and never compares equal: %s", async (_what, section, garble) => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const before = await control.readState();
    expect(isKnown<unknown>(before[section])).toBe(true);
    garble(bmc);
    const after = await captureBootState(await control.prove());
    expect(after[section]).toEqual({ unreadable: expect.any(String) });
    expect(() => refuseUnreadable("r1-n07", after)).toThrow(/cannot be read.*nothing was changed/);
    const can = await control.can();
    expect(compareBootStates(can, before, after).differences.map((one) => one.field)).toContain(section);
    expect(compareBootStates(can, after, after).differences.map((one) => one.field)).toContain(section);
    expect(bmc.seen.filter(({ method }) => method === "PATCH")).toEqual([]);
  });

  it.each(["a text", ["a list"], 7])("is unreadable where all of Boot is %j", async (Boot) => {
    const state = await (await connect(await showing({ Boot }))).readState();
    expect(state.override).toEqual({ unreadable: expect.stringContaining("not an object") });
    expect(() => refuseUnreadable("r1-n07", state)).toThrow("boot override of r1-n07 cannot be read");
  });

  it("is asked for again where it is the power", async () => {
    const control = await connect(await showing({ PowerState: "Banana" }));
    const error = await failure(control.power());
    expect(error.code).toBe("unreachable");
    expect(error.message).toContain("Banana");
  });
});

describe("a section that the control does not have", () => {
  it("is absent, and equal to absent alone", async () => {
    const bmc = await startBmc((b) => {
      b.boot = {};
      delete b.system.SecureBoot;
      delete b.system.VirtualMedia;
    });
    const control = await connect(bmc);
    const state = await control.readState();
    const absent = { absent: true };
    expect(state).toMatchObject({ override: absent, bootOrder: absent, media: absent, secureBoot: absent });
    const can = await control.can();
    expect([can.nextBoot, can.bootOrder, can.media, can.secureBoot]).toEqual([null, null, null, null]);
    expect(compareBootStates(can, state, state)).toEqual({ differences: [], added: [] });
    const empty: BootState = { ...state, bootOrder: [] };
    expect(compareBootStates(can, state, empty).differences).toMatchObject([{ field: "bootOrder" }]);
    expect(compareBootStates(can, empty, state).differences).toMatchObject([{ field: "bootOrder" }]);
    refuseUnreadable("r1-n07", state);
  });

  it("is not taken for restored where it was there before", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    const { override } = await control.readState();
    expect(pendingIn(await control.can(), await control.readState(), "override")).toBeNull();
    bmc.boot = { BootOrder: ["Boot0001"] };
    await control.prove();
    const error = await failure(control.restoreOverride(override));
    expect(error.code).toBe("unreachable");
  });
});

describe("boot order entries that share a device path", () => {
  const shared = (b: FakeBmc) => {
    b.options = ["PXE IPv4", "PXE IPv6", "Disk"].map((name, i) => ({
      "@odata.id": `${SYSTEM}/BootOptions/${i + 1}`,
      BootOptionReference: `Boot000${i + 1}`,
      DisplayName: name,
      UefiDevicePath: i < 2 ? "PciRoot(0x0)/Pci(0x2,0x0)" : "HD(1)",
    }));
  };

  it("are told apart in the comparison, and put back each in its place", async () => {
    const bmc = await startBmc(shared);
    const control = await connect(bmc, {}, { now: clock() });
    const before = await control.readState();
    bmc.boot.BootOrder = ["Boot0002", "Boot0001", "Boot0003"];
    const { differences } = compareBootStates(await control.can(), before, await control.readState());
    expect(differences).toMatchObject([{ field: "bootOrder" }]);
    await control.restoreBootOrder(before.bootOrder);
    expect(bmc.boot.BootOrder).toEqual(["Boot0001", "Boot0002", "Boot0003"]);
    expect(known((await control.readState()).bootOrder).map((one) => one.name)).toEqual([
      "PXE IPv4",
      "PXE IPv6",
      "Disk",
    ]);
  });

  it("are told as added where the firmware put one more beside a known one", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const before = await control.readState();
    bmc.options.push({
      ...bmc.options[0],
      "@odata.id": `${SYSTEM}/BootOptions/9`,
      BootOptionReference: "Boot0009",
      DisplayName: "PXE again",
    });
    bmc.boot.BootOrder = ["Boot0009", "Boot0001", "Boot0002", "Boot0003"];
    const compared = compareBootStates(await control.can(), before, await control.readState());
    expect(compared).toEqual({ differences: [], added: [expect.stringContaining("PXE again")] });
  });
});

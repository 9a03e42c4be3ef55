import { afterEach, describe, expect, it } from "vitest";
import { restoreBootState } from "../../src/control/boot-state.js";
import { type Json, MAC, UUID } from "./fake-bmc.js";
import { controlOf, failure, type Hands, targetOf } from "./help.js";
import { StrictService, type Tree } from "./strict-service.js";

/** What a strict service teaches: each case is a small machine of its own. */

const SYSTEM = "/redfish/v1/Systems/blade";
const SLOT = `${SYSTEM}/VirtualMedia/disc`;
const PENDING = `${SYSTEM}/Pending`;
const ISO = "https://site:8482/media/abcdefgh/image.iso";
const URI = "https://site:8482/boot/abcdefgh/ipxe.efi";
const RESTING: Json = {
  BootSourceOverrideEnabled: "Disabled",
  BootSourceOverrideTarget: "None",
  BootSourceOverrideMode: "UEFI",
  "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "UefiHttp"],
};

const link = (path: string) => ({ "@odata.id": path });

/** A machine with this `Boot`, and one slot without actions; `rest` changes the system. */
function treeOf(boot: Json, slot: Json | null = {}, rest: Json = {}): Tree {
  const empty = {
    MediaTypes: ["DVD"],
    Image: null,
    Inserted: false,
    ConnectedVia: "NotConnected",
    WriteProtected: false,
  };
  const reset = { target: `${SYSTEM}/Actions/ComputerSystem.Reset` };
  const system = {
    ...link(SYSTEM),
    ...{ "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem", "@odata.etag": '"a1"', UUID, PowerState: "On" },
    VirtualMedia: link(`${SYSTEM}/VirtualMedia`),
    Boot: boot,
    Actions: { "#ComputerSystem.Reset": { ...reset, "ResetType@Redfish.AllowableValues": ["On", "ForceOff"] } },
    ...rest,
  };
  const slots: Tree =
    slot === null
      ? {}
      : { [SLOT]: { ...link(SLOT), "@odata.type": "#VirtualMedia.v1_6_0.VirtualMedia", ...empty, ...slot } };
  return {
    "/redfish/v1": { Systems: link("/redfish/v1/Systems") },
    "/redfish/v1/Systems": { Members: [link(SYSTEM)] },
    [SYSTEM]: system,
    [`${SYSTEM}/VirtualMedia`]: { Members: Object.keys(slots).map(link) },
    ...slots,
  };
}

const running: StrictService[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

async function open(tree: Tree, boot: object = {}): Promise<{ service: StrictService; hands: Hands }> {
  const service = await StrictService.start(tree);
  running.push(service);
  const tls = { fingerprint256: service.fingerprint };
  const target = targetOf(service.url, tls, {
    identity: { uuid: UUID, macs: [MAC] },
    boot: { firmware: "uefi", via: ["pxe"], ...boot },
  });
  return { service, hands: await controlOf(target) };
}

const bootOf = (service: StrictService, path = SYSTEM) => service.tree[path]?.Boot as Json;

/** Off and on: what is armed is spent. */
async function restart(hands: Hands): Promise<void> {
  await hands.reset("ForceOff");
  await hands.reset("On");
}

describe("what a spent override still shows", () => {
  it("is cleared: its target, and the address of the session's image", async () => {
    const { service, hands } = await open(treeOf({ ...RESTING, HttpBootUri: null }));
    const before = await hands.readState();
    await hands.arm({ via: "uefi-http", uri: URI });
    await restart(hands);
    expect(service.boots).toEqual([{ enabled: "Once", target: "UefiHttp", uri: URI }]);
    expect(bootOf(service)).toMatchObject({ BootSourceOverrideEnabled: "Disabled", HttpBootUri: URI });
    expect(await restoreBootState(await hands.can(), before, false)).toEqual([]);
    expect(bootOf(service)).toEqual({ ...RESTING, HttpBootUri: null });
    expect(service.writes).toBe(4);
  });

  it("is cleared in the settings resource, where that holds the override", async () => {
    const settings = { "@Redfish.Settings": { SettingsObject: link(PENDING) } };
    const tree = treeOf({ ...RESTING }, {}, settings);
    tree[PENDING] = { ...link(PENDING), "@odata.etag": 'W/"p1"', Boot: { ...RESTING, HttpBootUri: null } };
    const { service, hands } = await open(tree);
    const before = await hands.readState();
    await hands.arm({ via: "uefi-http", uri: URI });
    await restart(hands);
    await hands.reset("ForceOff");
    await restoreBootState(await hands.can(), before, false);
    await hands.reset("On");
    expect(service.boots).toEqual([expect.objectContaining({ target: "UefiHttp" }), null]);
    expect(bootOf(service, PENDING)).toEqual({ ...RESTING, HttpBootUri: null });
    expect(bootOf(service)).toEqual(RESTING);
  });

  it("is cleared after an override that no boot has used", async () => {
    const { service, hands } = await open(treeOf({ ...RESTING, HttpBootUri: "" }));
    const before = await hands.readState();
    await hands.arm({ via: "uefi-http", uri: URI });
    await restoreBootState(await hands.can(), before, false);
    expect(bootOf(service)).toEqual({ ...RESTING, HttpBootUri: "" });
  });

  it("is the target of before, where a maker's services never show None again", async () => {
    const boot = { ...RESTING, BootSourceOverrideTarget: "Cd" };
    const { service, hands } = await open(treeOf(boot, {}, { Manufacturer: "Supermicro" }));
    const before = await hands.readState();
    await hands.arm({ via: "pxe" });
    await restart(hands);
    expect(await restoreBootState(await hands.can(), before, false)).toEqual([]);
    expect(bootOf(service)).toEqual(boot);
  });

  it("is a note where the service refuses to clear it", async () => {
    const { service, hands } = await open(treeOf({ ...RESTING, HttpBootUri: null }));
    const before = await hands.readState();
    await hands.arm({ via: "uefi-http", uri: URI });
    await restart(hands);
    // A mode that the service does not take any more: every change is refused.
    bootOf(service)["BootSourceOverrideMode@Redfish.AllowableValues"] = ["Legacy"];
    const notes = await restoreBootState(await hands.can(), before, false);
    expect(notes).toEqual([`r1-n07's BMC still shows UefiHttp ${URI}, which no boot uses any more.`]);
    expect(service.refusals.filter((one) => one.startsWith("PATCH"))).toHaveLength(1);
  });
});

describe("a slot without actions", () => {
  it("is filled and emptied by its properties, and keeps the others", async () => {
    const { service, hands } = await open(treeOf(RESTING, { "@odata.etag": '"s1"' }));
    const before = await hands.readState();
    const { "@odata.etag": _tag, ...was } = structuredClone(service.tree[SLOT] ?? {});
    expect(await hands.insertMedia(ISO)).toMatchObject({ slot: SLOT, image: ISO });
    await hands.restoreMedia(before.media);
    const { "@odata.etag": _newTag, ...is } = service.tree[SLOT] ?? {};
    expect(is).toEqual(was);
    expect(service.refusals).toEqual([]);
  });

  it("is given no property that it does not have", async () => {
    const tree = treeOf(RESTING);
    delete tree[SLOT]?.Inserted;
    const { service, hands } = await open(tree);
    expect(await hands.insertMedia(ISO)).toMatchObject({ slot: SLOT, image: ISO });
    expect(service.refusals).toEqual([`PATCH ${SLOT} 400`]);
  });
});

describe("a medium that the next boot could not be", () => {
  const without = (name: string) =>
    Object.fromEntries(Object.entries(RESTING).filter(([one]) => !one.startsWith(name)));
  const targets = "BootSourceOverrideTarget@Redfish.AllowableValues";
  const enabled = "BootSourceOverrideEnabled@Redfish.AllowableValues";

  it.each<[string, Json, RegExp]>([
    [
      "the override has no CD",
      { ...RESTING, [targets]: ["None", "Pxe"] },
      /cannot boot virtual-media .*; give pxe in boot\.via/,
    ],
    ["there is no override", without("BootSource"), /no boot override, .*; give pxe in boot\.via\.$/],
    [
      "the override is a lasting one",
      { ...RESTING, [enabled]: ["Disabled", "Continuous"] },
      /allow .* continuous-override/,
    ],
    [
      "the machine boots another mode",
      { ...RESTING, "BootSourceOverrideMode@Redfish.AllowableValues": ["Legacy"] },
      /boot\.firmware/,
    ],
  ])("is not inserted: %s", async (_why, boot, sentence) => {
    const { service, hands } = await open(treeOf(boot));
    const error = await failure(hands.insertMedia(ISO));
    expect(error.code).toBe("refused");
    expect(error.message).toMatch(sentence);
    expect(service.writes).toBe(0);
    expect(service.refusals).toEqual([]);
  });
});

describe("the remedy of a refused way", () => {
  const SLOTLESS = treeOf(
    { ...RESTING, "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd"] },
    null,
  );

  it("does not name virtual media where there is no drive", async () => {
    const { hands } = await open(SLOTLESS);
    const error = await failure(hands.arm({ via: "uefi-http", uri: URI }));
    expect(error.message).toMatch(/; give pxe in boot\.via\.$/);
  });

  it("does not name uefi-http where the override has none", async () => {
    const { hands } = await open(SLOTLESS);
    const error = await failure(hands.insertMedia(ISO));
    expect(error.message).toMatch(/has no virtual CD or DVD drive; give pxe in boot\.via\.$/);
  });

  it("names each way that the machine has", async () => {
    const { hands } = await open(treeOf(RESTING));
    const error = await failure(hands.arm({ via: "uefi-http", uri: URI }));
    expect(error.message).toMatch(/no HttpBootUri .*; give pxe or virtual-media in boot\.via\.$/);
  });

  it("is new firmware where the machine has no other way", async () => {
    const none = { ...RESTING, "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Hdd"] };
    const { hands } = await open(treeOf(none, null));
    const error = await failure(hands.arm({ via: "pxe" }));
    expect(error.message).toMatch(/; update the BMC's firmware\.$/);
  });
});

import { describe, expect, it } from "vitest";
import type { BootOverride } from "../../src/domain/snapshot.js";
import type { FakeBmc } from "./fake-bmc.js";
import { connect, failure, startBmc } from "./help.js";

const DISABLED: BootOverride = { enabled: "Disabled", target: "None", mode: "UEFI", httpBootUri: null };
const patches = (bmc: FakeBmc) => bmc.seen.filter((one) => one.method === "PATCH");
const tagsOf = (bmc: FakeBmc) => patches(bmc).map((one) => one.headers["if-match"]);

describe("arming", () => {
  it("sends the whole Boot object and reads it back", async () => {
    const bmc = await startBmc();
    const armed = await (await connect(bmc)).arm({ via: "uefi-http", uri: "https://site:8482/boot/ipxe.efi" });
    expect(patches(bmc)[0]?.body).toEqual({
      Boot: {
        BootSourceOverrideEnabled: "Once",
        BootSourceOverrideTarget: "UefiHttp",
        BootSourceOverrideMode: "UEFI",
        HttpBootUri: "https://site:8482/boot/ipxe.efi",
      },
    });
    expect(armed).toEqual({
      enabled: "Once",
      target: "UefiHttp",
      mode: "UEFI",
      httpBootUri: "https://site:8482/boot/ipxe.efi",
    });
  });

  it("names no URI where none is booted, because some services refuse it", async () => {
    const bmc = await startBmc();
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(patches(bmc)[0]?.body).toEqual({
      Boot: { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe", BootSourceOverrideMode: "UEFI" },
    });
  });

  it("writes nothing where it is armed already", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    await control.arm({ via: "pxe" });
    expect(patches(bmc)).toHaveLength(1);
  });

  it("says so when the BMC takes an override and ignores it", async () => {
    const bmc = await startBmc((b) => {
      b.onBoot = () => "ignore";
    });
    const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("ignores overrides");
  });

  it("waits a moment for a BMC that shows a change late", async () => {
    const bmc = await startBmc();
    const stale = { ...bmc.boot };
    let reads = 0;
    bmc.faults.push(({ method, path }) =>
      method === "GET" && path === "/redfish/v1/Systems/1" && patches(bmc).length === 1 && ++reads <= 2
        ? { status: 200, body: { ...bmc.system, PowerState: "On", Boot: stale } }
        : undefined,
    );
    expect((await (await connect(bmc)).arm({ via: "pxe" })).target).toBe("Pxe");
    expect(patches(bmc)).toHaveLength(1);
  });

  it("refuses a way that the BMC does not offer, before it writes", async () => {
    const bmc = await startBmc((b) => {
      b.boot["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["None", "Pxe", "Hdd"];
    });
    const error = await failure((await connect(bmc)).arm({ via: "uefi-http", uri: "https://site/x" }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("None, Pxe, Hdd");
    expect(patches(bmc)).toEqual([]);
  });

  it("refuses a machine that has no override at all", async () => {
    const bmc = await startBmc((b) => {
      b.boot = { BootOrder: [] };
    });
    expect((await failure((await connect(bmc)).arm({ via: "pxe" }))).message).toContain("no boot override at all");
  });

  it("falls back to a lasting override only where the target's owner allows it", async () => {
    const only = (b: FakeBmc) => {
      b.boot["BootSourceOverrideEnabled@Redfish.AllowableValues"] = ["Disabled", "Continuous"];
    };
    const refusing = await startBmc(only);
    expect((await failure((await connect(refusing)).arm({ via: "pxe" }))).message).toContain("continuous-override");
    expect(patches(refusing)).toEqual([]);
    const bmc = await startBmc(only);
    const boot = { firmware: "uefi", via: ["pxe"], allow: ["continuous-override"] };
    expect((await (await connect(bmc, { boot })).arm({ via: "pxe" })).enabled).toBe("Continuous");
  });

  it("falls back when Once is refused though it is offered", async () => {
    const bmc = await startBmc((b) => {
      b.onBoot = (boot) => (boot.BootSourceOverrideEnabled === "Once" ? { status: 400 } : undefined);
    });
    const boot = { firmware: "uefi", via: ["pxe"], allow: ["continuous-override"] };
    expect((await (await connect(bmc, { boot })).arm({ via: "pxe" })).enabled).toBe("Continuous");
  });

  it("reads what became of a change whose answer was lost", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ method, body }) => {
        if (method !== "PATCH") return undefined;
        Object.assign(b.boot, body?.Boot);
        return "drop";
      });
    });
    expect((await (await connect(bmc)).arm({ via: "pxe" })).target).toBe("Pxe");
    expect(patches(bmc)).toHaveLength(1);
  });

  it("passes on what the BMC says of a refusal", async () => {
    const bmc = await startBmc((b) => {
      const info = [{ MessageId: "Base.1.8.PropertyValueNotInList", Message: "Not\u0007 in\nlist." }];
      b.onBoot = () => ({ status: 400, body: { error: { "@Message.ExtendedInfo": info } } });
    });
    const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("400: Not in list.");
    expect(error.facts).toMatchObject({ status: 400, messageIds: ["PropertyValueNotInList"] });
  });
});

describe("entity tags", () => {
  it("climb down from strong to weak to none", async () => {
    const bmc = await startBmc((b) => {
      b.etag = "weak";
      b.takesTag = (tag) => (tag === undefined ? null : 412);
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(tagsOf(bmc)).toEqual(['"1"', 'W/"1"', undefined]);
  });

  it("are taken as weak where the service compares them as weak", async () => {
    const bmc = await startBmc((b) => {
      b.etag = "weak";
      b.takesTag = (tag) => (tag === 'W/"1"' ? null : 412);
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(tagsOf(bmc)).toEqual(['"1"', 'W/"1"']);
  });

  it("that went stale for another reason are read again", async () => {
    const bmc = await startBmc((b) => {
      b.etag = "strong";
      b.takesTag = (tag) => {
        if (b.version === 1) b.version = 2;
        return tag === `"${b.version}"` ? null : 412;
      };
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(tagsOf(bmc)).toEqual(['"1"', '"2"']);
  });

  it("are not left out when somebody else changed the boot settings meanwhile", async () => {
    const bmc = await startBmc((b) => {
      b.etag = "strong";
      b.takesTag = () => {
        Object.assign(b.boot, { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Hdd" });
        return 412;
      };
    });
    const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
    expect(error.code).toBe("unreachable");
    expect(patches(bmc)).toHaveLength(1);
  });

  it("are read and sent where the service demands them with 428", async () => {
    const bmc = await startBmc((b) => {
      b.takesTag = (tag) => {
        b.etag = "strong";
        return tag === '"1"' ? null : 428;
      };
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(tagsOf(bmc)).toEqual([undefined, '"1"']);
  });
});

describe("the settings resource", () => {
  it("takes the change where the annotation says so and it holds the override", async () => {
    const bmc = await startBmc((b) => {
      b.settings = { BootSourceOverrideEnabled: "Disabled", BootSourceOverrideTarget: "None" };
    });
    const control = await connect(bmc);
    expect((await control.arm({ via: "pxe" })).target).toBe("Pxe");
    expect(patches(bmc).map((one) => one.path)).toEqual(["/redfish/v1/Systems/1/SD"]);
    expect((await control.readState()).override).toMatchObject({ enabled: "Once", target: "Pxe" });
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
  });

  it("is passed over where it holds no override", async () => {
    const bmc = await startBmc((b) => {
      b.settings = { TrustedModuleRequiredToBoot: "Disabled" };
    });
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    expect(patches(bmc).map((one) => one.path)).toEqual(["/redfish/v1/Systems/1"]);
    expect(bmc.count("GET", /SD$/)).toBe(1);
  });
});

describe("restoring the override", () => {
  it("writes nothing where a stale target is left behind by Disabled, as it was before", async () => {
    const bmc = await startBmc((b) => {
      b.boot.BootSourceOverrideTarget = "Pxe";
    });
    const control = await connect(bmc);
    await control.restoreOverride((await control.readState()).override);
    expect(patches(bmc)).toEqual([]);
  });

  it("writes all the same where an arming of ours may be hidden by a reading from before it", async () => {
    const bmc = await startBmc();
    expect((await (await connect(bmc)).restoreOverride(DISABLED, true)).enabled).toBe("Disabled");
    expect(patches(bmc).map((one) => one.body)).toEqual([
      { Boot: expect.objectContaining({ BootSourceOverrideEnabled: "Disabled" }) },
    ]);
  });

  it("looks again when no reading can be from before the arming any more, and disarms what it sees then", async () => {
    const bmc = await startBmc();
    const paused: number[] = [];
    const sleep = async (ms: number) => {
      paused.push(ms);
      // The first change was lost, and the arming shows only now.
      if (ms >= 15_000) Object.assign(bmc.boot, { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" });
    };
    const control = await connect(bmc, {}, { sleep });
    expect((await control.restoreOverride(DISABLED, true)).enabled).toBe("Disabled");
    expect(bmc.boot).toMatchObject({ BootSourceOverrideEnabled: "Disabled", BootSourceOverrideTarget: "None" });
    expect(paused.filter((ms) => ms >= 15_000)).toHaveLength(1);
  });

  it("disarms what is still pending", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    await control.restoreOverride(DISABLED);
    expect(bmc.boot).toMatchObject({ BootSourceOverrideEnabled: "Disabled", BootSourceOverrideTarget: "None" });
  });

  it("restores a lasting override as it was, not to Disabled", async () => {
    const bmc = await startBmc((b) => {
      Object.assign(b.boot, { BootSourceOverrideEnabled: "Continuous", BootSourceOverrideTarget: "Hdd" });
    });
    const control = await connect(bmc);
    const { override } = await control.readState();
    await control.arm({ via: "pxe" });
    expect(await control.restoreOverride(override)).toEqual(override);
    expect(bmc.boot).toMatchObject({ BootSourceOverrideEnabled: "Continuous", BootSourceOverrideTarget: "Hdd" });
  });
});

describe("restoring the boot order", () => {
  it("goes by device path, not by Boot#### number, and leaves new entries at the end", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const { bootOrder } = await control.readState();
    // The firmware numbered anew, an installer put itself first.
    bmc.options.forEach((option, i) => {
      option.BootOptionReference = `Boot00A${i}`;
    });
    bmc.options.push({
      "@odata.id": "/redfish/v1/Systems/1/BootOptions/9",
      BootOptionReference: "Boot0009",
      UefiDevicePath: "HD(9)",
    });
    bmc.boot.BootOrder = ["Boot0009", "Boot00A1", "Boot00A0", "Boot00A2"];
    await control.restoreBootOrder(bootOrder);
    expect(bmc.boot.BootOrder).toEqual(["Boot00A0", "Boot00A1", "Boot00A2", "Boot0009"]);
  });

  it("writes nothing where only entries were added", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const { bootOrder } = await control.readState();
    bmc.boot.BootOrder = ["Boot0077", "Boot0001", "Boot0002", "Boot0003"];
    await control.restoreBootOrder(bootOrder);
    expect(patches(bmc)).toEqual([]);
  });

  it("names an entry that is gone", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const { bootOrder } = await control.readState();
    bmc.boot.BootOrder = ["Boot0003", "Boot0001"];
    const error = await failure(control.restoreBootOrder(bootOrder));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("PciRoot(0x0)/Pci(0x1,0x0)");
    expect(bmc.boot.BootOrder).toEqual(["Boot0001", "Boot0003"]);
  });

  it("says so when the firmware undoes it", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: clock() });
    const { bootOrder } = await control.readState();
    bmc.boot.BootOrder = ["Boot0003", "Boot0001", "Boot0002"];
    bmc.onBoot = () => "ignore";
    expect((await failure(control.restoreBootOrder(bootOrder))).message).toContain("undid");
  });
});

describe("virtual media", () => {
  const ISO = "https://site:8482/media/abcdefgh/image.iso";

  it("is inserted without an ejection of the empty slot, and read back", async () => {
    const bmc = await startBmc();
    const slot = await (await connect(bmc)).insertMedia(ISO);
    expect(slot).toEqual({
      slot: "/redfish/v1/Systems/1/VirtualMedia/Cd",
      inserted: true,
      image: ISO,
      verified: false,
    });
    expect(
      bmc.seen.filter((one) => one.method === "POST" && one.path.includes("Actions")).map((one) => one.body),
    ).toEqual([{ Image: ISO, Inserted: true, WriteProtected: true }]);
  });

  it("is not inserted twice", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.insertMedia(ISO);
    await control.insertMedia(ISO);
    expect(bmc.count("POST", /InsertMedia$/)).toBe(1);
  });

  it("that was ejected and still says Inserted is taken as ejected", async () => {
    const bmc = await startBmc((b) => {
      b.stuckInserted = true;
    });
    const control = await connect(bmc);
    const before = await control.readState();
    await control.insertMedia(ISO);
    await control.restoreMedia(before.media);
    expect((await control.readState()).media).toEqual(before.media);
  });

  it("that does not leave its drive is an error", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    const before = await control.readState();
    await control.insertMedia(ISO);
    bmc.faults.push(({ path }) => (path.endsWith("EjectMedia") ? { status: 204 } : undefined));
    expect((await failure(control.restoreMedia(before.media))).message).toContain("does not eject");
  });

  it("is restored to what the slot held before", async () => {
    const theirs = "https://fileserver/theirs.iso";
    const bmc = await startBmc((b) => {
      Object.assign(b.media, { Image: theirs, Inserted: true, ConnectedVia: "URI" });
    });
    const control = await connect(bmc);
    const before = await control.readState();
    await control.insertMedia(ISO);
    await control.restoreMedia(before.media);
    expect(bmc.media.Image).toBe(theirs);
  });

  it("is told its transfer protocol where the service asks for it", async () => {
    const bmc = await startBmc((b) => {
      const info = [
        { MessageId: "Base.1.8.ActionParameterMissing", Message: "requires the parameter TransferProtocolType" },
      ];
      b.onInsert = (body) =>
        body.TransferProtocolType === undefined
          ? { status: 400, body: { error: { "@Message.ExtendedInfo": info } } }
          : undefined;
    });
    await (await connect(bmc)).insertMedia(ISO);
    expect(bmc.seen.findLast((one) => one.path.endsWith("InsertMedia"))?.body).toMatchObject({
      TransferProtocolType: "HTTPS",
      TransferMethod: "Stream",
    });
  });

  it("is inserted by PATCH where the service has no actions", async () => {
    const bmc = await startBmc((b) => {
      delete b.media.Actions;
      b.faults.push(({ method, path, body }) => {
        if (method !== "PATCH" || !path.endsWith("/Cd")) return undefined;
        Object.assign(b.media, body, { ConnectedVia: body?.Inserted === true ? "URI" : "NotConnected" });
        return { status: 204 };
      });
    });
    expect((await (await connect(bmc)).insertMedia(ISO)).image).toBe(ISO);
  });

  it("is found at the manager where the system has none", async () => {
    const bmc = await startBmc((b) => {
      delete b.system.VirtualMedia;
      b.system.Links = { ManagedBy: [{ "@odata.id": "/redfish/v1/Managers/1" }] };
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Managers/1"
          ? { status: 200, body: { VirtualMedia: { "@odata.id": "/redfish/v1/Systems/1/VirtualMedia" } } }
          : undefined,
      );
    });
    const control = await connect(bmc);
    await control.readState();
    await control.insertMedia(ISO);
    expect(bmc.count("GET", /Managers/)).toBe(1);
  });

  it("needs a drive that can hold a CD", async () => {
    const bmc = await startBmc((b) => {
      b.media.MediaTypes = ["Floppy"];
    });
    expect((await failure((await connect(bmc)).insertMedia(ISO))).code).toBe("refused");
  });
});

/** A clock of which each reading is a wait later, so that nothing is taken for one look. */
function clock(): () => number {
  let now = 0;
  return () => {
    now += 10_000;
    return now;
  };
}

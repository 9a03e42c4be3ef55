import { describe, expect, it } from "vitest";
import { compareBootStates, pendingIn } from "../../src/control/boot-state.js";
import type { BootOverride } from "../../src/domain/snapshot.js";
import type { FakeBmc, Json } from "./fake-bmc.js";
import { connect, failure, known, startBmc } from "./help.js";

/** Machines that were seen, each with the whole of what its service shows and does. */

const SYSTEM = "/redfish/v1/Systems/1";
const ISO = "https://site:8482/media/abcdefgh/image.iso";
const DISABLED: BootOverride = { enabled: "Disabled", target: "None", mode: null, httpBootUri: null };
const refusal = (status: number, info: Json) => ({
  status,
  body: { error: { "@Message.ExtendedInfo": [info] } },
});
const patches = (bmc: FakeBmc) => bmc.seen.filter((one) => one.method === "PATCH");
const lastBoot = (bmc: FakeBmc) => patches(bmc).at(-1)?.body?.Boot;
/** A clock of which each reading is a wait later, so that nothing is taken for one look. */
const clock = () => {
  let now = 0;
  return () => {
    now += 10_000;
    return now;
  };
};

describe("a mode that reads null, beside a list of allowed modes", () => {
  const demanding = (listed: boolean) =>
    startBmc((b) => {
      b.boot = {
        BootSourceOverrideEnabled: "Disabled",
        BootSourceOverrideTarget: "None",
        BootSourceOverrideMode: null,
        ...(listed ? { "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI"] } : {}),
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd"],
      };
      b.onBoot = (boot) =>
        boot.BootSourceOverrideMode === "UEFI"
          ? undefined
          : refusal(400, {
              MessageId: "Base.1.12.PropertyMissing",
              Message: "The property BootSourceOverrideMode is a required property and must be included.",
            });
    });

  it.each([true, false])("is sent with every change (listed: %s)", async (listed) => {
    const bmc = await demanding(listed);
    const control = await connect(bmc);
    const { override } = await control.readState();
    await control.arm({ via: "pxe" });
    expect(lastBoot(bmc)).toMatchObject({ BootSourceOverrideMode: "UEFI", BootSourceOverrideTarget: "Pxe" });
    await control.restoreOverride(override);
    expect(lastBoot(bmc)).toMatchObject({ BootSourceOverrideMode: "UEFI", BootSourceOverrideEnabled: "Disabled" });
    expect(patches(bmc)).toHaveLength(2);
  });

  it("is left out where the machine has no such property", async () => {
    const bmc = await startBmc((b) => {
      delete b.boot.BootSourceOverrideMode;
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(lastBoot(bmc)).not.toHaveProperty("BootSourceOverrideMode");
  });

  it("is refused before anything is armed where the list does not have the document's firmware", async () => {
    const bmc = await startBmc((b) => {
      Object.assign(b.boot, {
        BootSourceOverrideMode: null,
        "BootSourceOverrideMode@Redfish.AllowableValues": ["Legacy"],
      });
    });
    expect((await failure((await connect(bmc)).arm({ via: "pxe" }))).message).toContain("boot.firmware");
    expect(patches(bmc)).toEqual([]);
  });

  it.each(["BootSourceOverrideEnabled", "BootSourceOverrideTarget"])("so is %s", async (name) => {
    const bmc = await startBmc((b) => {
      b.boot[name] = null;
      delete b.boot["BootSourceOverrideTarget@Redfish.AllowableValues"];
    });
    expect((await (await connect(bmc)).arm({ via: "pxe" })).target).toBe("Pxe");
  });
});

describe("a boot order that is accepted for the next boot", () => {
  it("is believed while the target is off, and judged by the comparison after the boot", async () => {
    const bmc = await startBmc((b) => {
      b.boot.BootOrder = ["Boot0001", "Boot0002"];
    });
    const control = await connect(bmc, {}, { now: clock() });
    const before = await control.readState();
    bmc.boot.BootOrder = ["Boot0002", "Boot0001"];
    let pending: unknown = null;
    bmc.faults.push(({ method, path, body }) => {
      if (path.endsWith("/Tasks/1")) return { status: 200, body: { TaskState: "Pending" } };
      if (method !== "PATCH") return undefined;
      pending = (body?.Boot as Json | undefined)?.BootOrder;
      return { status: 202, headers: { location: "/redfish/v1/TaskService/Tasks/1" } };
    });
    expect(await control.restoreBootOrder(before.bootOrder)).toEqual([expect.stringContaining("next boot")]);
    const still = compareBootStates(await control.can(), before, await control.readState());
    expect(still.differences).toMatchObject([{ field: "bootOrder" }]);
    bmc.boot.BootOrder = pending;
    expect(compareBootStates(await control.can(), before, await control.readState()).differences).toEqual([]);
  });
});

describe("a login that is refused for lack of room", () => {
  const login = async (status: number, info: Json) => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ method, path }) =>
        method === "POST" && path.endsWith("/Sessions") ? refusal(status, info) : undefined,
      );
    });
    const error = await failure((await connect(bmc)).identify());
    return { code: error.code, message: error.message, requests: bmc.seen.length };
  };

  it.each([
    [400, "Base.1.8.CreateLimitReachedForResource"],
    [403, "Base.1.8.SessionLimitExceeded"],
    [401, "Base.1.8.SessionLimitExceeded"],
    [503, "Vendor.1.0.SessionLimitExceeded"],
  ])("is tried again later (%i, %s)", async (status, MessageId) => {
    const told = await login(status, { MessageId, Message: "The session table is full." });
    expect(told.code).toBe("unreachable");
    expect(told.message).toContain("The session table is full.");
  });

  it("is known by the vendor's own words too", async () => {
    const Message = "The maximum number of user sessions is reached.";
    expect((await login(403, { MessageId: "IDRAC.2.5.RAC0218", Message })).code).toBe("unreachable");
  });

  it("is no wrong password where the password must be changed first", async () => {
    const told = await login(403, { MessageId: "Base.1.8.PasswordChangeRequired" });
    expect(told.code).toBe("unauthorized");
    expect(told.message).toContain("the password must be changed at the BMC first");
    expect(told.message).not.toContain("correct them");
  });

  it.each([400, 401, 403])("is a wrong password where nothing else is said (%i)", async (status) => {
    const told = await login(status, { MessageId: "Base.1.8.GeneralError" });
    expect(told).toMatchObject({ code: "unauthorized", requests: 2 });
    expect(told.message).toContain("refused the user and password");
  });
});

describe("an override without a target", () => {
  const resting = (enabled: string, target: string | null) => ({
    BootSourceOverrideEnabled: enabled,
    BootSourceOverrideTarget: target,
    BootSourceOverrideMode: "Legacy",
  });

  it.each([
    ["Once", "None"],
    ["Continuous", "None"],
    ["Once", null],
  ])("is nothing pending (%s, %s)", async (enabled, target) => {
    const bmc = await startBmc((b) => {
      Object.assign(b.boot, resting(enabled, target));
      // Disabling an override leads here again.
      b.onBoot = (boot, current) => {
        if (boot.BootSourceOverrideEnabled !== "Disabled") return undefined;
        Object.assign(current, resting(enabled, target));
        return { status: 204 };
      };
    });
    const control = await connect(bmc, { boot: { firmware: "bios", via: ["pxe"] } }, { now: clock() });
    const before = await control.readState();
    expect(pendingIn(await control.can(), before, "override")).toBeNull();
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
    expect(patches(bmc)).toEqual([]);
    await control.arm({ via: "pxe" });
    await control.restoreOverride(before.override);
    const after = await control.readState();
    expect(compareBootStates(await control.can(), before, after).differences).toEqual([]);
    const read = { ...before, override: DISABLED };
    expect(compareBootStates(await control.can(), read, after).differences).toEqual([]);
  });
});

describe("a link that ends in a slash", () => {
  const slashed = () =>
    startBmc((b) => {
      delete b.root.ProtocolFeaturesSupported;
      b.system["@odata.id"] = `${SYSTEM}/`;
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Systems"
          ? { status: 200, body: { Members: [{ "@odata.id": `${SYSTEM}/` }] } }
          : undefined,
      );
    });

  it("leads to the only system", async () => {
    expect((await (await connect(await slashed())).identify()).system).toBe("1");
  });

  it("is listed by its Id where the document names another system", async () => {
    const bmc = await slashed();
    const control = [
      {
        redfish: { url: bmc.url, system: "2", credentials: { env: "BMC" }, tls: { fingerprint256: bmc.fingerprint } },
      },
    ];
    const error = await failure((await connect(bmc, { control })).identify());
    expect(error.message).toContain('no system "2", but 1;');
  });

  it("names the slot that it named before", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    const before = await control.readState();
    await control.insertMedia(ISO);
    bmc.media["@odata.id"] = `${String(bmc.media["@odata.id"])}/`;
    bmc.faults.push(({ path }) => (path.endsWith("/Cd/") ? { status: 200, body: bmc.media } : undefined));
    await control.restoreMedia(before.media);
    expect(bmc.media.Image).toBeNull();
    expect(compareBootStates(await control.can(), before, await control.readState()).differences).toEqual([]);
  });
});

describe("a refusal of InsertMedia that names a parameter", () => {
  const missing = async (name: string, info: Json, paired: string[] = []) => {
    const bmc = await startBmc((b) => {
      b.onInsert = (body) => ([name, ...paired].every((one) => one in body) ? undefined : refusal(400, info));
    });
    await (await connect(bmc)).insertMedia(ISO);
    expect(bmc.count("POST", /InsertMedia$/)).toBe(2);
    return bmc.seen.findLast((one) => one.path.endsWith("InsertMedia"))?.body;
  };

  it("in its text is obeyed once", async () => {
    const Message = "InsertMedia requires the parameter TransferMethod.";
    expect(await missing("TransferMethod", { MessageId: "Base.1.12.ActionParameterMissing", Message })).toMatchObject({
      TransferMethod: "Stream",
      TransferProtocolType: "HTTPS",
    });
  });

  it("in its related properties is obeyed once", async () => {
    const info = { Message: "A required property is missing.", RelatedProperties: ["#/TransferProtocolType"] };
    expect(await missing("TransferProtocolType", info)).toMatchObject({ TransferMethod: "Stream" });
  });

  it("in its arguments is obeyed once, account and all", async () => {
    const info = { MessageId: "Base.1.12.ActionParameterMissing", MessageArgs: ["InsertMedia", "UserName"] };
    expect(await missing("UserName", info, ["Password"])).toMatchObject({ UserName: expect.any(String) });
  });

  it("that the service does not take is left out", async () => {
    const bmc = await startBmc((b) => {
      const unknown = { MessageId: "Base.1.12.ActionParameterUnknown", MessageArgs: ["InsertMedia", "Inserted"] };
      b.onInsert = (body) => ("Inserted" in body ? refusal(400, unknown) : undefined);
    });
    expect((await (await connect(bmc)).insertMedia(ISO)).inserted).toBe(true);
  });

  it("that it has already got ends in one sentence, not in a loop", async () => {
    const bmc = await startBmc((b) => {
      b.onInsert = () => refusal(400, { Message: "InsertMedia requires the parameter TransferMethod." });
    });
    const error = await failure((await connect(bmc)).insertMedia(ISO));
    expect(error.message).toMatch(/TransferMethod.*boot\.via/);
    expect(bmc.count("POST", /InsertMedia$/)).toBe(2);
  });
});

describe("a refusal that names where the change belongs", () => {
  const elsewhere = (place: string) =>
    startBmc((b) => {
      const settings: Json = { ...b.boot };
      const named = { MessageId: "Ami.1.0.OperationSupportedInFutureStateURI", MessageArgs: ["Boot", place] };
      b.faults.push(({ method, path, body }) => {
        if (method === "PATCH" && path === SYSTEM) return refusal(400, named);
        if (path !== `${SYSTEM}/SD`) return undefined;
        if (method === "PATCH") Object.assign(settings, body?.Boot);
        return { status: 200, body: { "@odata.id": `${SYSTEM}/SD`, Boot: settings } };
      });
    });
  const paths = (bmc: FakeBmc) => patches(bmc).map((one) => one.path);

  it("is obeyed once, and from then on that is the settings resource", async () => {
    const bmc = await elsewhere(`${SYSTEM}/SD`);
    const control = await connect(bmc);
    expect(await control.arm({ via: "pxe" })).toMatchObject({ enabled: "Once", target: "Pxe" });
    expect(paths(bmc)).toEqual([SYSTEM, `${SYSTEM}/SD`]);
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
    expect(paths(bmc)).toEqual([SYSTEM, `${SYSTEM}/SD`, `${SYSTEM}/SD`]);
  });

  it.each(["/redfish/v1/Systems/2/SD", "https://evil.example/redfish/v1/Systems/1/SD"])(
    "is told, and not followed, where that is %s",
    async (place) => {
      const bmc = await elsewhere(place);
      const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
      expect(error.code).toBe("refused");
      expect(error.message).toContain(`takes it only at ${place}`);
      expect(paths(bmc)).toEqual([SYSTEM]);
    },
  );
});

describe("virtual media that the system does not link", () => {
  const MANAGER = "/redfish/v1/Managers/1";
  const withManager = (change: (b: FakeBmc) => void, managers = [MANAGER]) =>
    startBmc((b) => {
      b.system.Links = {};
      b.root.Managers = { "@odata.id": "/redfish/v1/Managers" };
      b.faults.push(({ path }) => {
        const [bare] = path.split("?");
        if (bare === "/redfish/v1/Managers") {
          return { status: 200, body: { Members: managers.map((one) => ({ "@odata.id": one })) } };
        }
        if (bare?.endsWith("/Empty")) return { status: 200, body: { Members: [] } };
        if (bare === "/redfish/v1/Managers/0") return { status: 200, body: { VirtualMedia: null } };
        return bare === MANAGER
          ? { status: 200, body: { VirtualMedia: { "@odata.id": `${SYSTEM}/VirtualMedia` } } }
          : undefined;
      });
      change(b);
    });

  it.each<[string, (b: FakeBmc) => void]>([
    ["of the service's only manager", (b) => delete b.system.VirtualMedia],
    [
      "of the manager, where the system's own collection is empty",
      (b) => {
        b.system.VirtualMedia = { "@odata.id": `${SYSTEM}/Empty` };
      },
    ],
    [
      "of the second of its managers",
      (b) => {
        delete b.system.VirtualMedia;
        b.system.Links = { ManagedBy: [{ "@odata.id": "/redfish/v1/Managers/0" }, { "@odata.id": MANAGER }] };
      },
    ],
  ])("is that %s", async (_whose, change) => {
    const bmc = await withManager(change);
    const control = await connect(bmc);
    const { media } = await control.readState();
    expect(known(media)).toMatchObject([{ slot: `${SYSTEM}/VirtualMedia/Cd`, inserted: false }]);
    expect((await control.insertMedia(ISO)).image).toBe(ISO);
  });

  it("is nobody's where the service has several managers and names none", async () => {
    const bmc = await withManager((b) => delete b.system.VirtualMedia, [MANAGER, "/redfish/v1/Managers/2"]);
    expect((await (await connect(bmc)).readState()).media).toEqual({ absent: true });
  });
});

describe("a machine without any override, such as HPE Cray EX", () => {
  const cray = (order = ["ME0-PXE-IP4", "Disk0"]) =>
    startBmc((b) => {
      b.boot = { BootOrder: order };
      b.system.Actions = {
        "#ComputerSystem.Reset": {
          target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
          "ResetType@Redfish.AllowableValues": ["On", "Off", "ForceOff"],
        },
      };
    });
  const allow = { boot: { firmware: "uefi", via: ["pxe"], allow: ["network-first-order"] } };

  it("relies on its boot order where its owner allows that, and nothing is written", async () => {
    const bmc = await cray();
    const control = await connect(bmc, allow);
    expect((await control.armed({ via: "pxe" })).notes).toEqual([expect.stringContaining("boot server alone")]);
    expect(patches(bmc)).toEqual([]);
    expect(control.usage().writes).toBe(0);
    expect((await control.readState()).override).toEqual({ absent: true });
  });

  it("is refused with the opt-in as the remedy, and where its disk is first with that", async () => {
    const error = await failure((await connect(await cray())).arm({ via: "pxe" }));
    expect(error.message).toContain("network-first-order in boot.allow");
    const disk = await cray(["Disk0", "ME0-PXE-IP4"]);
    expect((await failure((await connect(disk, allow)).arm({ via: "pxe" }))).message).toContain("network entry first");
  });

  it("is shut down kindly by Off, and only because it has ForceOff beside it", async () => {
    const bmc = await cray();
    await (await connect(bmc)).reset("GracefulShutdown");
    expect(bmc.seen.at(-1)?.body).toEqual({ ResetType: "Off" });
    const hard = await startBmc((b) => {
      const target = `${SYSTEM}/Actions/ComputerSystem.Reset`;
      b.system.Actions = { "#ComputerSystem.Reset": { target, "ResetType@Redfish.AllowableValues": ["On", "Off"] } };
    });
    expect((await failure((await connect(hard)).reset("GracefulShutdown"))).code).toBe("refused");
  });
});

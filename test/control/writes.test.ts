import { describe, expect, it } from "vitest";
import { compareBootStates } from "../../src/control/boot-state.js";
import type { BootOverride } from "../../src/domain/snapshot.js";
import type { FakeBmc, Fault, Json } from "./fake-bmc.js";
import { connect, failure, startBmc } from "./help.js";

const SYSTEM = "/redfish/v1/Systems/1";
const TASK = "/redfish/v1/TaskService/Tasks/7";
const ISO = "https://site:8482/media/abcdefgh/image.iso";
const DISABLED: BootOverride = { enabled: "Disabled", target: "None", mode: null, httpBootUri: null };
const patches = (bmc: FakeBmc) => bmc.seen.filter((one) => one.method === "PATCH");
const posts = (bmc: FakeBmc, action: string) => bmc.count("POST", new RegExp(`${action}$`));
const refusal = (status: number, info: Json) => ({ status, body: { error: { "@Message.ExtendedInfo": [info] } } });

describe("a BMC that turns Once into Continuous", () => {
  const turning = () =>
    startBmc((b) => {
      b.onBoot = (boot, current) => {
        Object.assign(current, boot);
        if (boot.BootSourceOverrideEnabled === "Once") current.BootSourceOverrideEnabled = "Continuous";
        return { status: 204 };
      };
    });

  it("is told as that, with the opt-in, and disarmed again", async () => {
    const bmc = await turning();
    const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
    expect(error.message).toMatch(/turns a one-time boot override into a lasting one.*continuous-override/);
    expect(error.message).not.toContain("ignores");
    expect(bmc.boot.BootSourceOverrideEnabled).toBe("Disabled");
  });

  it("is armed by the opt-in, with a note", async () => {
    const bmc = await turning();
    const control = await connect(bmc, { boot: { firmware: "uefi", via: ["pxe"], allow: ["continuous-override"] } });
    const { override, notes } = await control.armed({ via: "pxe" });
    expect(override.enabled).toBe("Continuous");
    expect(notes).toEqual([expect.stringContaining("lasting")]);
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
  });
});

describe("a change that is accepted for later", () => {
  const later = (answer: ReturnType<Fault>, task: Json | number = { TaskState: "Pending" }) =>
    startBmc((b) => {
      b.faults.push(({ method, path }) => {
        if (path === TASK) return typeof task === "number" ? { status: task } : { status: 200, body: task };
        return method === "PATCH" ? answer : undefined;
      });
    });

  it.each<[string, ReturnType<Fault>]>([
    ["202 with a task", { status: 202, headers: { location: TASK } }],
    ["202 alone", { status: 202 }],
    ["200 with a job", { status: 200, headers: { location: "/redfish/v1/JobService/Jobs/7" } }],
    ["200 with a task's body", { status: 200, body: { "@odata.id": TASK, TaskState: "New" } }],
    [
      "200 that wants a reset",
      { status: 200, body: { "@Message.ExtendedInfo": [{ MessageId: "iLO.2.14.SystemResetRequired" }] } },
    ],
  ])("is believed, with a note: %s", async (_how, answer) => {
    const bmc = await later(answer);
    bmc.faults.push(({ path }) =>
      path.includes("/Jobs/") ? { status: 200, body: { TaskState: "Pending" } } : undefined,
    );
    const { override, notes } = await (await connect(bmc)).armed({ via: "pxe" });
    expect(override).toMatchObject({ enabled: "Once", target: "Pxe" });
    expect(notes).toEqual([expect.stringContaining("next boot")]);
  });

  it("is refused in the task's words where the task has failed", async () => {
    const bmc = await later(
      { status: 202, headers: { location: TASK } },
      {
        TaskState: "Exception",
        Messages: [{ MessageId: "Base.1.8.PropertyValueConflict", Message: "Not in this mode." }],
      },
    );
    const error = await failure((await connect(bmc)).arm({ via: "pxe" }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("Not in this mode.");
  });

  it("is judged at once where it was done in the end, and did nothing", async () => {
    const bmc = await later({ status: 200 });
    expect((await failure((await connect(bmc)).arm({ via: "pxe" }))).message).toContain("ignores overrides");
  });

  it("is a note where the boot order went to the settings resource", async () => {
    const bmc = await startBmc((b) => {
      b.settings = { BootOrder: ["Boot0001", "Boot0002", "Boot0003"] };
    });
    const control = await connect(bmc);
    const { bootOrder } = await control.readState();
    bmc.boot.BootOrder = ["Boot0003", "Boot0002", "Boot0001"];
    await control.prove();
    expect(await control.restoreBootOrder(bootOrder)).toEqual([expect.stringContaining("next boot")]);
    expect(patches(bmc).map((one) => one.path)).toEqual([`${SYSTEM}/SD`]);
    // The override is the system's own.
    await control.arm({ via: "pxe" });
    expect(patches(bmc).at(-1)?.path).toBe(SYSTEM);
  });

  it("is followed to its end where it is a medium", async () => {
    let looks = 0;
    const bmc = await startBmc((b) => {
      b.faults.push(({ method, path, body }) => {
        if (path === TASK) {
          looks++;
          if (looks < 12) return { status: 202 };
          if (looks === 12) Object.assign(b.media, { Image: ISO, Inserted: true, ConnectedVia: "URI" });
          return { status: 200, body: { TaskState: "Completed" } };
        }
        return method === "POST" && path.endsWith("InsertMedia") && body !== null
          ? { status: 202, headers: { location: TASK } }
          : undefined;
      });
    });
    expect((await (await connect(bmc)).insertMedia(ISO)).image).toBe(ISO);
    expect(looks).toBe(12);
  });
});

describe("a property", () => {
  it("that lives in the settings resource alone is written there", async () => {
    const bmc = await startBmc((b) => {
      b.settings = {
        BootSourceOverrideEnabled: null,
        BootSourceOverrideTarget: null,
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe"],
      };
      b.boot = { BootOrder: ["Boot0001"] };
    });
    const control = await connect(bmc);
    expect((await control.arm({ via: "pxe" })).target).toBe("Pxe");
    expect(patches(bmc).map((one) => one.path)).toEqual([`${SYSTEM}/SD`]);
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
  });

  it.each([
    ["in its text", { MessageId: "Base.1.8.PropertyMissing", Message: "BootSourceOverrideMode is required." }],
    [
      "in its related properties",
      { MessageId: "Base.1.8.PropertyMissing", RelatedProperties: ["#/Boot/BootSourceOverrideMode"] },
    ],
  ])("that a refusal misses %s is sent once", async (_where, info) => {
    const bmc = await startBmc((b) => {
      delete b.boot.BootSourceOverrideMode;
      b.onBoot = (boot) => ("BootSourceOverrideMode" in boot ? undefined : refusal(400, info));
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(patches(bmc).map((one) => (one.body?.Boot as Json | undefined)?.BootSourceOverrideMode)).toEqual([
      undefined,
      "UEFI",
    ]);
  });

  it("on which a boot source depends is missed before anything is armed", async () => {
    const bmc = await startBmc((b) => {
      delete b.boot.HttpBootUri;
    });
    const error = await failure((await connect(bmc)).arm({ via: "uefi-http", uri: "https://site/boot.efi" }));
    expect(error.message).toMatch(/HttpBootUri.*boot\.via/);
    expect(patches(bmc)).toEqual([]);
  });
});

describe("what an arming wrote", () => {
  it("is nothing where it was refused", async () => {
    const bmc = await startBmc((b) => {
      b.onBoot = () => ({ status: 400 });
      b.onInsert = () => ({ status: 400 });
    });
    const control = await connect(bmc);
    await failure(control.arm({ via: "pxe" }));
    await failure(control.insertMedia(ISO));
    expect(posts(bmc, "EjectMedia")).toBe(0);
    expect(control.usage().writes).toBe(0);
  });

  it("is something where it was done, where its answer was lost, and where a refusal did it all the same", async () => {
    const done = await connect(await startBmc());
    await done.arm({ via: "pxe" });
    expect(done.usage().writes).toBe(1);
    const lost = await connect(
      await startBmc((b) => b.faults.push(({ method }) => (method === "PATCH" ? "drop" : undefined))),
    );
    await failure(lost.arm({ via: "pxe" }));
    expect(lost.usage().writes).toBe(1);
    const dell = await startBmc((b) => {
      b.system.Manufacturer = "Dell Inc.";
      b.onBoot = (boot, current) => {
        Object.assign(current, boot);
        return { status: 400 };
      };
    });
    const lying = await connect(dell);
    await lying.arm({ via: "pxe" });
    expect(lying.usage().writes).toBe(1);
  });
});

describe("the boot mode that an arming changed", () => {
  it("is put back, and compared", async () => {
    const bmc = await startBmc((b) => {
      b.boot.BootSourceOverrideMode = "Legacy";
    });
    const control = await connect(bmc);
    const before = await control.readState();
    await control.arm({ via: "pxe" });
    // The firmware spends the override, and keeps the mode.
    Object.assign(bmc.boot, { BootSourceOverrideEnabled: "Disabled", BootSourceOverrideTarget: "None" });
    await control.prove();
    const left = compareBootStates(await control.can(), before, await control.readState());
    expect(left.differences).toEqual([{ field: "override.mode", before: "Legacy", after: "UEFI" }]);
    await control.restoreOverride(before.override);
    expect(bmc.boot.BootSourceOverrideMode).toBe("Legacy");
    expect(compareBootStates(await control.can(), before, await control.readState()).differences).toEqual([]);
  });

  it("does not keep the target from going home where the BMC will not have it back", async () => {
    const bmc = await startBmc((b) => {
      b.onBoot = () => ({ status: 400 });
    });
    const to: BootOverride = { ...DISABLED, mode: "Legacy" };
    const control = await connect(bmc);
    const notes = await (await control.can()).nextBoot?.restore(to);
    expect(notes).toEqual([expect.stringContaining("boot mode UEFI, which was Legacy")]);
  });
});

describe("the slots", () => {
  it("that appear later are emptied too, and an empty one is no difference", async () => {
    const cd = "/redfish/v1/Systems/1/VirtualMedia/Cd";
    const bmc = await startBmc();
    let shown = false;
    bmc.faults.push(({ path }) =>
      path.startsWith(`${SYSTEM}/VirtualMedia?`)
        ? { status: 200, body: { Members: shown ? [bmc.media] : [] } }
        : undefined,
    );
    const control = await connect(bmc);
    const before = await control.readState();
    expect(before.media).toEqual([]);
    shown = true;
    await control.insertMedia(ISO);
    const during = compareBootStates(await control.can(), before, await control.readState());
    expect(during.differences).toEqual([
      { field: "media", before: [], after: [{ slot: cd, inserted: true, image: ISO }] },
    ]);
    await control.restoreMedia(before.media);
    expect(bmc.media.Image).toBeNull();
    expect(compareBootStates(await control.can(), before, await control.readState()).differences).toEqual([]);
  });

  it("that refuse because they hold what they do not show are ejected, once", async () => {
    let ejected = false;
    const bmc = await startBmc((b) => {
      b.onInsert = () => (ejected ? undefined : refusal(409, { MessageId: "Base.1.8.ResourceInUse" }));
      b.faults.push(({ path }) => {
        if (path.endsWith("EjectMedia")) ejected = true;
        return undefined;
      });
    });
    expect((await (await connect(bmc)).insertMedia(ISO)).inserted).toBe(true);
    expect([posts(bmc, "EjectMedia"), posts(bmc, "InsertMedia")]).toEqual([1, 2]);
  });
});

describe("the certificate of the server that a medium is from", () => {
  const verifying = (value: boolean | null, change: (b: FakeBmc) => void = () => undefined) =>
    startBmc((b) => {
      if (value !== null) b.media.VerifyCertificate = value;
      b.faults.push(({ method, path, body }) => {
        if (method !== "PATCH" || !path.endsWith("/Cd")) return undefined;
        Object.assign(b.media, body);
        return { status: 204 };
      });
      change(b);
    });

  it.each([
    [true, ISO, true],
    [true, "http://site:8481/media/x.iso", false],
    [false, ISO, false],
    [null, ISO, false],
  ])("is verified only where the slot says so (%s, %s)", async (value, url, verified) => {
    const bmc = await verifying(value);
    expect((await (await connect(bmc)).insertMedia(url)).verified).toBe(verified);
    expect(patches(bmc)).toEqual([]);
  });

  it("is made to be verified where it must be, and put back", async () => {
    const bmc = await verifying(false);
    const control = await connect(bmc);
    const before = await control.readState();
    expect((await control.insertMedia(ISO, true)).verified).toBe(true);
    await control.restoreMedia(before.media);
    expect(bmc.media.VerifyCertificate).toBe(false);
    expect(compareBootStates(await control.can(), before, await control.readState()).differences).toEqual([]);
  });

  it("is a difference where that stays changed", async () => {
    const bmc = await verifying(false);
    const control = await connect(bmc);
    const before = await control.readState();
    bmc.media.VerifyCertificate = true;
    const { differences } = compareBootStates(await control.can(), before, await control.readState());
    expect(differences).toMatchObject([
      { field: expect.stringContaining("verifyCertificate"), before: false, after: true },
    ]);
  });

  it.each([null, false])("is refused where it must be verified and cannot be (%s)", async (value) => {
    const bmc = await verifying(value, (b) => {
      b.faults.unshift(({ method, path }) =>
        method === "PATCH" && path.endsWith("/Cd") ? { status: 400 } : undefined,
      );
    });
    const error = await failure((await connect(bmc)).insertMedia(ISO, true));
    expect(error.message).toMatch(/VerifyCertificate.*destructive-over-lan/);
    expect(posts(bmc, "InsertMedia")).toBe(0);
  });
});

describe("the proved identity", () => {
  const OTHER = "00112233-4455-6677-8899-aabbccddeeff";

  it.each([
    ["changes", OTHER],
    ["vanishes", null],
    ["becomes zeros", "00000000-0000-0000-0000-000000000000"],
  ])("stops every write where its UUID %s", async (_how, uuid) => {
    const writes = {
      arm: (c: Awaited<ReturnType<typeof connect>>) => c.arm({ via: "pxe" }),
      reset: (c: Awaited<ReturnType<typeof connect>>) => c.reset("On"),
      insert: (c: Awaited<ReturnType<typeof connect>>) => c.insertMedia(ISO),
      override: (c: Awaited<ReturnType<typeof connect>>) =>
        c.restoreOverride({ ...DISABLED, enabled: "Once", target: "Hdd" }),
    };
    for (const [name, write] of Object.entries(writes)) {
      const bmc = await startBmc();
      const control = await connect(bmc);
      await control.identify();
      bmc.system.UUID = uuid;
      await control.prove();
      const error = await failure(write(control));
      expect(error.code, name).toBe("refused");
      expect(error.message, name).toContain("nothing more is done to it");
      expect(bmc.seen.filter(({ method, path }) => method !== "GET" && !path.includes("/Sessions"))).toEqual([]);
    }
  });

  it("is compared with what was proved, not with the reading before: in the other byte order it is the same", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.identify();
    bmc.system.UUID = "44454c4c-4200-1035-8052-b4c04f4e3132";
    await control.prove();
    await control.arm({ via: "pxe" });
    bmc.system.UUID = null;
    expect((await failure(control.power())).code).toBe("refused");
  });

  it("is compared by its MAC addresses where those proved it", async () => {
    const bmc = await startBmc((b) => {
      b.system.UUID = "03000200-0400-0500-0006-000700080009";
    });
    const control = await connect(bmc);
    expect((await control.identify()).macs).toEqual(["52:54:00:12:34:01"]);
    await control.arm({ via: "pxe" });
    bmc.nics = [{ MACAddress: "52:54:00:99:99:99" }];
    await control.prove();
    expect((await failure(control.reset("ForceOff"))).message).toContain("52:54:00:99:99:99");
    expect(bmc.power).toBe("On");
  });

  it("is compared with the one that the boot snapshot kept, by a control that was opened anew", async () => {
    const bmc = await startBmc();
    const identity = { identity: { macs: ["52:54:00:12:34:01"] } };
    const kept = await (await connect(bmc, identity)).identify();
    bmc.system.UUID = OTHER;
    const error = await failure((await connect(bmc, identity)).prove(kept));
    expect(error.message).toContain(OTHER);
    bmc.system.UUID = null;
    expect((await failure((await connect(bmc, identity)).prove(kept))).message).toContain("without a UUID");
  });
});

import { describe, expect, it } from "vitest";
import { applies } from "../../src/control/quirks/quirk.js";
import { dialectOf, QUIRKS } from "../../src/control/quirks/quirks.js";
import type { BootOverride } from "../../src/domain/snapshot.js";
import type { FakeBmc, Json } from "./fake-bmc.js";
import { connect, failure, known, startBmc } from "./help.js";

const DISABLED: BootOverride = { enabled: "Disabled", target: "None", mode: "UEFI", httpBootUri: null };
const ISO = "https://site:8482/media/abcdefgh/image.iso";

const made = (manufacturer: string, change: (bmc: FakeBmc) => void = () => undefined) =>
  startBmc((bmc) => {
    bmc.system.Manufacturer = manufacturer;
    change(bmc);
  });
const lastBoot = (bmc: FakeBmc): Json => bmc.seen.findLast((one) => one.method === "PATCH")?.body?.Boot as Json;

describe("the list", () => {
  it("says of each quirk where it was seen, once", () => {
    expect(new Set(QUIRKS.map((quirk) => quirk.name)).size).toBe(QUIRKS.length);
    for (const quirk of QUIRKS) {
      for (const text of [quirk.vendor, quirk.firmware, quirk.symptom, quirk.source]) expect(text).not.toBe("");
    }
  });

  it("has no two quirks of one machine that speak of the same field", () => {
    for (const manufacturer of ["Supermicro", "Dell Inc.", "HPE", "Lenovo"]) {
      const facts = { manufacturer, model: "any", vendor: null, firmware: null };
      const fields = QUIRKS.filter((quirk) => applies(quirk, facts)).flatMap((quirk) => Object.keys(quirk.dialect));
      expect(fields).toEqual([...new Set(fields)]);
    }
  });

  it("leaves an unknown machine to the standard", () => {
    expect(dialectOf({ manufacturer: "Contoso", model: null, vendor: null, firmware: null }).quirks).toEqual([]);
  });

  it("knows a machine by its service root where the system does not name its maker", () => {
    expect(dialectOf({ manufacturer: null, model: null, vendor: "Dell", firmware: null }).quirks).toContain(
      "dell-changed-only",
    );
  });
});

describe("the firmware's version", () => {
  const ilo = (firmware: string | null) =>
    dialectOf({ manufacturer: "HPE", model: "DL360", vendor: null, firmware }).quirks;

  it("keeps a quirk from firmware on which nobody saw it", () => {
    expect(ilo("iLO 5 v2.72")).toContain("hpe-mode-read-only");
    expect(ilo("iLO 6 v1.55")).toEqual(["hpe-no-none", "hpe-post"]);
    expect(ilo("iLO 7 v1.10")).toEqual([]);
    const dell = (firmware: string) =>
      dialectOf({ manufacturer: "Dell Inc.", model: null, vendor: null, firmware }).quirks;
    expect(dell("2.85.85.85")).toEqual(["dell-changed-only", "dell-applies-and-refuses"]);
    expect(dell("7.10.30.00")).toEqual(["dell-changed-only"]);
    expect(dell("1.20.50.00")).toEqual(["dell-conflict-after-off"]);
  });

  it("is taken from the maker's word where the BMC does not tell it", () => {
    expect(ilo(null)).toContain("hpe-mode-read-only");
  });

  it("is read from the manager, once, and only where a quirk of that maker asks for it", async () => {
    const manager = (version: string) => (b: FakeBmc) => {
      b.system.Links = { ManagedBy: [{ "@odata.id": "/redfish/v1/Managers/1" }] };
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Managers/1" ? { status: 200, body: { FirmwareVersion: version } } : undefined,
      );
    };
    const bmc = await made("HPE", manager("iLO 7 v1.10"));
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    await control.restoreOverride(DISABLED);
    expect(lastBoot(bmc)).toMatchObject({ BootSourceOverrideTarget: "None", BootSourceOverrideMode: "UEFI" });
    expect(bmc.count("GET", /Managers/)).toBe(1);
    const other = await made("Contoso", manager("1.0"));
    await (await connect(other)).arm({ via: "pxe" });
    expect(other.count("GET", /Managers/)).toBe(0);
  });
});

describe("Supermicro", () => {
  it("is sent enabled and mode every time, and keeps its stale target when disarmed", async () => {
    const bmc = await made("Supermicro");
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    await control.restoreOverride(DISABLED);
    expect(lastBoot(bmc)).toEqual({
      BootSourceOverrideEnabled: "Disabled",
      BootSourceOverrideTarget: "Pxe",
      BootSourceOverrideMode: "UEFI",
    });
  });

  it.each([
    ["SYS-621C", "UsbCd"],
    ["ARS-111GL-NHR", "Cd"],
  ])("%s boots virtual media as %s", async (model, target) => {
    const bmc = await made("Supermicro", (b) => {
      b.system.Model = model;
      b.boot["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["None", "Pxe", "Cd", "UsbCd"];
    });
    expect((await (await connect(bmc)).arm({ via: "virtual-media" })).target).toBe(target);
  });

  it("is told the image alone", async () => {
    const bmc = await made("Supermicro", (b) => {
      b.onInsert = (body) => (Object.keys(body).length > 1 ? { status: 400 } : undefined);
    });
    expect((await (await connect(bmc)).insertMedia(ISO)).inserted).toBe(true);
  });

  it("is not given an address that it would refuse", async () => {
    const bmc = await made("Supermicro");
    expect((await failure((await connect(bmc)).insertMedia(`${ISO}?x=1`))).message).toContain('"?"');
    expect(bmc.count("POST", /Media$/)).toBe(0);
  });
});

describe("Dell", () => {
  it("is sent only what changes", async () => {
    const bmc = await made("Dell Inc.", (b) => {
      Object.assign(b.boot, { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Hdd" });
    });
    await (await connect(bmc)).arm({ via: "pxe" });
    expect(lastBoot(bmc)).toEqual({ BootSourceOverrideTarget: "Pxe" });
  });

  it("may refuse what it then does: the read-back decides", async () => {
    const bmc = await made("Dell Inc.", (b) => {
      b.onBoot = (boot, current) => {
        Object.assign(current, boot);
        return { status: 400 };
      };
    });
    expect((await (await connect(bmc)).arm({ via: "pxe" })).target).toBe("Pxe");
    bmc.onBoot = () => ({ status: 400 });
    expect((await failure((await connect(bmc)).restoreOverride(DISABLED))).facts.status).toBe(400);
  });

  it("answers 409 to a power-on for a while after a power-off", async () => {
    const bmc = await made("Dell Inc.", (b) => {
      b.faults.push(({ path }) => (path.endsWith(".Reset") ? { status: 409 } : undefined));
    });
    expect((await failure((await connect(bmc)).reset("On"))).code).toBe("unreachable");
    const other = await made("Contoso", (b) => b.faults.push(...bmc.faults));
    expect((await failure((await connect(other)).reset("On"))).code).toBe("refused");
  });
});

describe("HPE", () => {
  it("is not told the target None, and never the mode", async () => {
    const bmc = await made("HPE", (b) => {
      b.onBoot = (boot) =>
        boot.BootSourceOverrideTarget === "None" || "BootSourceOverrideMode" in boot ? { status: 400 } : undefined;
    });
    const control = await connect(bmc);
    await control.arm({ via: "pxe" });
    expect((await control.restoreOverride(DISABLED)).enabled).toBe("Disabled");
  });

  it("changes nothing during POST, and does a little later", async () => {
    const bmc = await made("HPE", (b) => {
      const info = [{ MessageId: "iLO.2.26.UnableToModifyDuringSystemPOST" }];
      b.onBoot = () => ({ status: 400, body: { error: { "@Message.ExtendedInfo": info } } });
    });
    expect((await failure((await connect(bmc)).arm({ via: "pxe" }))).code).toBe("unreachable");
  });

  it("is not told to eject from an empty drive", async () => {
    const bmc = await made("HPE", (b) => {
      b.faults.push(({ path }) =>
        path.endsWith("EjectMedia") && b.media.Image === null ? { status: 400 } : undefined,
      );
    });
    await (await connect(bmc)).insertMedia(ISO);
    expect(bmc.count("POST", /EjectMedia$/)).toBe(0);
  });
});

describe("Lenovo", () => {
  it("has its boot options read after their collection", async () => {
    const bmc = await made("Lenovo", (b) => {
      let primed = false;
      b.faults.push(({ path }) => {
        if (path.endsWith("/BootOptions")) primed = true;
        return path.includes("/BootOptions/") && !primed ? { status: 404 } : undefined;
      });
      b.faults.push(({ path }) =>
        path.includes("BootOptions?$expand") ? { status: 200, body: { Members: [] } } : undefined,
      );
    });
    const { bootOrder } = await (await connect(bmc)).readState();
    expect(known(bootOrder).map((entry) => entry.name)).toEqual(["PXE", "Disk", "Shell"]);
  });

  it("is never told Continuous, even where that is allowed", async () => {
    const bmc = await made("Lenovo", (b) => {
      b.onBoot = () => ({ status: 400 });
    });
    const boot = { firmware: "uefi", via: ["pxe"], allow: ["continuous-override"] };
    await failure((await connect(bmc, { boot })).arm({ via: "pxe" }));
    expect(bmc.seen.filter((one) => one.method === "PATCH")).toHaveLength(1);
  });
});

import { describe, expect, it } from "vitest";
import { uefiHttp } from "../../src/ways/uefi-http.js";
import { image } from "../catalogue/samples.js";
import { booting, control, NOTHING_KNOWN, order, seen } from "./help.js";

describe("uefi-http", () => {
  it("needs UEFI, and is a claim of identity", () => {
    expect(uefiHttp.misfit(booting(), image("base"))).toBeNull();
    expect(uefiHttp.misfit(booting({ firmware: "bios" }), image("base"))).toContain("r1-n07 has a BIOS");
    expect(uefiHttp.grade(booting(), NOTHING_KNOWN)).toMatchObject({ grade: "lan" });
    expect(uefiHttp.publishes).toBe("script");
  });

  it("asks the control for a boot from the site's URI", async () => {
    const { can, asked } = control();
    expect(await uefiHttp.arm(can, order())).toEqual({ notes: ["armed"], bmcVerifies: null });
    expect(asked).toEqual([{ via: "uefi-http", uri: "http://site/u/x/snponly.efi" }]);
  });

  it("is told of like every network boot that made no contact", () => {
    expect(uefiHttp.diagnose(seen())).toContain("it never asked for its boot script");
  });
});

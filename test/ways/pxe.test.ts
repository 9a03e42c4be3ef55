import { describe, expect, it } from "vitest";
import { pxe } from "../../src/ways/pxe.js";
import { image } from "../catalogue/samples.js";
import { booting, control, NOTHING_KNOWN, order, seen } from "./help.js";

describe("pxe", () => {
  it("fits every firmware, and is a claim of identity", () => {
    for (const firmware of ["uefi", "bios"]) expect(pxe.misfit(booting({ firmware }), image("base"))).toBeNull();
    expect(pxe.grade(booting(), NOTHING_KNOWN)).toMatchObject({
      grade: "lan",
      why: expect.stringContaining("identity is only a claim"),
    });
    expect(pxe.publishes).toBe("script");
  });

  it("asks the control for a boot from the network, and for nothing else", async () => {
    const { can, asked } = control();
    expect(await pxe.arm(can, order())).toEqual({ notes: ["armed"], bmcVerifies: null });
    expect(asked).toEqual([{ via: "pxe" }]);
  });

  it.each([
    [{ power: "Off" as const }, "it is off"],
    [{ homeAnswering: true }, "the boot override was ignored"],
    [{ homeAnswering: true, scriptFetched: true }, "then went on to its disk"],
    [{}, "it never asked for its boot script"],
    [{ scriptFetched: true }, "but not the kernel"],
    [{ scriptFetched: true, kernelFetched: true }, "but not the initrd"],
    [{ scriptFetched: true, kernelFetched: true, initrdFetched: true }, "its agent did not call"],
  ])("tells of a boot that showed %j where to look", (more, sentence) => {
    expect(pxe.diagnose(seen(more))).toContain(sentence);
  });
});

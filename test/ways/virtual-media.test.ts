import { describe, expect, it } from "vitest";
import { virtualMedia } from "../../src/ways/virtual-media.js";
import { image } from "../catalogue/samples.js";
import { booting, control, NOTHING_KNOWN, order, seen } from "./help.js";

describe("virtual-media", () => {
  it("fits images for x86_64 alone", () => {
    expect(virtualMedia.misfit(booting(), image("base"))).toBeNull();
    expect(virtualMedia.misfit(booting(), { ...image("base"), arch: "aarch64" })).toContain(
      "Media are made for x86_64 only, and base is for aarch64",
    );
    expect(virtualMedia.publishes).toBe("medium");
  });

  it.each([
    ["sealed as far as nobody has looked", NOTHING_KNOWN, { grade: "sealed" }],
    ["sealed over TLS that the BMC verifies", { bmcUrl: "https://site", bmcVerifies: true }, { grade: "sealed" }],
    ["lan in the clear", { bmcUrl: "http://site", bmcVerifies: null }, { grade: "lan", remedy: "make it https" }],
    [
      "lan where the BMC does not verify",
      { bmcUrl: "https://site", bmcVerifies: false },
      { grade: "lan", why: expect.stringContaining("does not verify") },
    ],
  ])("is %s", (_, facts, graded) => {
    expect(virtualMedia.grade(booting(), facts)).toMatchObject(graded);
  });

  it("asks the control for the medium first, and then for a boot from it", async () => {
    const { can, asked } = control({ verifies: false });
    expect(await virtualMedia.arm(can, order(booting(), true))).toEqual({ notes: ["armed"], bmcVerifies: false });
    expect(asked).toEqual([{ insert: "https://site/m/x/base.iso", verify: true }, { via: "virtual-media" }]);
  });

  it("is refused by a control without virtual media, and asks it for nothing", async () => {
    const { can, asked } = control({ media: false });
    await expect(virtualMedia.arm(can, order())).rejects.toMatchObject({ code: "refused" });
    expect(asked).toEqual([]);
  });

  it.each([
    [{ power: "Off" as const }, "it is off"],
    [{ homeAnswering: true, scriptFetched: true }, "the virtual CD did not boot"],
    [{}, "its BMC never read the medium"],
    [{ scriptFetched: true, kernelFetched: true }, "not to the end of the image"],
    [{ scriptFetched: true, kernelFetched: true, initrdFetched: true }, "read the whole medium"],
  ])("tells of a boot that showed %j where to look", (more, sentence) => {
    expect(virtualMedia.diagnose(seen(more))).toContain(sentence);
  });
});

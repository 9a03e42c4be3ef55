import { describe, expect, it } from "vitest";
import type { Image } from "../../src/domain/image.js";
import { BootVia } from "../../src/domain/target.js";
import { usableWays, wayOf } from "../../src/ways/ways.js";
import { image } from "../catalogue/samples.js";
import { booting } from "./help.js";

const LOOK = { name: "look", destructive: false };
const WIPE = { name: "wipe", destructive: true };
const base = image("base");
const viaOf = (boot: Record<string, unknown>, action = LOOK, of: Image = base) =>
  usableWays(booting(boot), of, action).map(({ via }) => via);

it("every way of the domain has its file", () => {
  for (const via of BootVia.options) expect(wayOf(via).via).toBe(via);
});

describe("the usable ways of a target", () => {
  it("are those that it names, in its order, each once", () => {
    expect(viaOf({ via: ["uefi-http", "pxe", "uefi-http", "virtual-media"] })).toEqual([
      ...["uefi-http", "pxe", "virtual-media"],
    ]);
    expect(usableWays(booting({ via: ["pxe", "virtual-media"] }), base, LOOK)).toEqual([
      { via: "pxe", grade: "lan" },
      { via: "virtual-media", grade: "sealed" },
    ]);
  });

  it("never fall from sealed to lan without the owner's leave", () => {
    const via = ["virtual-media", "uefi-http", "pxe"];
    for (const action of [LOOK, WIPE]) {
      expect(viaOf({ via }, action)).toEqual(["virtual-media"]);
      expect(viaOf({ via, allow: ["destructive-over-lan"] }, action)).toEqual(via);
    }
  });

  it("are the sealed ones for a destructive action, unless the owner allows less", () => {
    const via = ["pxe", "virtual-media"];
    expect(viaOf({ via }, WIPE)).toEqual(["virtual-media"]);
    expect(viaOf({ via, allow: ["destructive-over-lan"] }, WIPE)).toEqual(via);
  });

  it("of a destructive action without a sealed one are refused in one sentence", () => {
    expect(() => viaOf({ via: ["uefi-http", "pxe"] }, WIPE)).toThrow(
      'wipe is destructive and r1-n07 boots over plain uefi-http, where identity is only a claim; boot it via virtual-media, or let its owner add "destructive-over-lan" to boot.allow.',
    );
  });

  it("are without those that the image does not fit, and refused where it fits none", () => {
    const arm: Image = { ...base, arch: "aarch64" };
    expect(viaOf({ via: ["virtual-media", "pxe"] }, LOOK, arm)).toEqual(["pxe"]);
    expect(() => viaOf({ via: ["virtual-media"] }, LOOK, arm)).toThrow("Media are made for x86_64 only");
    const iso = { ...base, form: "iso" } as never;
    expect(() => viaOf({ via: ["pxe"] }, LOOK, iso)).toThrow("pxe does not boot an image of the form iso");
  });
});

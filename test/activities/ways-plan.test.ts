import { describe, expect, it } from "vitest";
import { planSession } from "../../activities/plan.js";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import { action, image, target } from "../catalogue/samples.js";

const objects = { put: async () => "0".repeat(64) } as never;

/** The plan of an action on a target with this `boot`. */
async function planOf(boot: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const documents: Record<string, unknown> = {
    Target: target("a", 1, { boot: { firmware: "uefi", ...boot } }),
    Image: image("base"),
    Action: { ...action("look", "base"), ...more },
  };
  const catalogue = { get: async (kind: string) => documents[kind], openSnapshot: async () => null };
  const request = { target: "a", action: "look" };
  return await planSession(catalogue as never as Catalogue, objects, { request, session: "s", workflowId: "w" });
}

describe("the plan of a session", () => {
  it("freezes the usable ways in the order of boot.via, each with its grade", async () => {
    expect((await planOf({ via: ["uefi-http", "pxe", "virtual-media"] })).ways).toEqual([
      { via: "uefi-http", grade: "lan" },
      { via: "pxe", grade: "lan" },
      { via: "virtual-media", grade: "sealed" },
    ]);
  });

  it("gives each way the whole time of the action's boot attempts", async () => {
    const one = (await planOf({ via: ["pxe"] })).limits;
    const two = (await planOf({ via: ["uefi-http", "pxe"] })).limits;
    // Two attempts, the second with twice the time.
    expect(two.totalMs - one.totalMs).toBe(3 * one.bootMs);
  });

  it("has no way where the action boots no image, however destructive it is", async () => {
    expect((await planOf({ via: ["pxe"] }, { image: undefined, tasks: [], destructive: true })).ways).toEqual([]);
  });

  it("is refused where a destructive action has no sealed way", async () => {
    const refusal = { code: "refused", message: expect.stringContaining("destructive-over-lan") };
    await expect(planOf({ via: ["pxe"] }, { destructive: true })).rejects.toMatchObject(refusal);
  });
});

import { describe, expect, it } from "vitest";
import { planCampaign } from "../../activities/plan.js";
import type { Catalogue, DocumentOf } from "../../src/catalogue/catalogue.js";
import type { Kind } from "../../src/domain/documents.js";
import { action, image, target } from "../catalogue/samples.js";

const documents = [
  target("r1-n07", 7),
  target("r1-n08", 8),
  target("r2-n01", 9, { labels: { rack: "r2" } }),
  action("inventory", "base"),
  action("reboot-only"),
  image("base"),
];

const catalogue: Pick<Catalogue, "get" | "list"> = {
  get: async <K extends Kind>(kind: K, name: string) =>
    (documents.find((one) => one.kind === kind && one.name === name) as DocumentOf<K> | undefined) ?? null,
  list: async <K extends Kind>(kind: K, selector: Record<string, string> = {}) =>
    documents.filter(
      (one) => one.kind === kind && Object.entries(selector).every(([key, value]) => one.labels[key] === value),
    ) as DocumentOf<K>[],
};

describe("a campaign's plan", () => {
  it("has the named targets first, then the selected ones, each once, and every default", async () => {
    const plan = await planCampaign(catalogue, { targets: ["r1-n08"], select: "rack=r1", action: "inventory" });
    expect(plan).toEqual({
      targets: ["r1-n08", "r1-n07"],
      select: "rack=r1",
      action: "inventory",
      params: {},
      onBusy: "fail",
      atOnce: 20,
    });
  });

  it.each([
    [undefined, 'Give one JSON argument with targets (or select) and an action, for example {"targets": ["r1-n07"]'],
    [{ targets: "r1-n07", action: "inventory" }, "The request's targets is not usable"],
    [{ targets: ["r1-n07"] }, "The request's action is not usable"],
    [{ target: "r1-n07", action: "inventory" }, 'Unrecognized key: "target"'],
    // No session would be in flight, and the campaign would end as if all were done.
    [{ targets: ["r1-n07"], action: "inventory", atOnce: 0 }, "The request's atOnce is not usable"],
    [{ targets: ["r1-n99"], action: "inventory" }, 'There is no target "r1-n99"; "pitstop get targets" lists them.'],
    [{ targets: ["r1-n07"], action: "juggle" }, 'There is no action "juggle"; "pitstop get actions" lists them.'],
    [{ targets: ["r1-n07"], action: "inventory", image: "nix" }, 'There is no image "nix"'],
    [{ targets: ["r1-n07"], action: "reboot-only", image: "base" }, "reboot-only boots no image"],
    [{ select: "rack=r9", action: "inventory" }, "no target has the labels rack=r9"],
    [{ targets: Array.from({ length: 4_001 }, (_, i) => `t${i}`), action: "inventory" }, "targets is not usable"],
    [{ action: "inventory" }, "neither targets nor select is given"],
  ])("is refused before any session begins: %j", async (request, sentence) => {
    await expect(planCampaign(catalogue, request)).rejects.toThrow(sentence);
  });
});

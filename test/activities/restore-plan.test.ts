import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { planSession } from "../../activities/plan.js";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import type { SessionRequest } from "../../src/domain/session.js";
import { action, snapshot, target } from "../catalogue/samples.js";
import { openTestCatalogue } from "../support/database.js";

const objects = { put: async () => "0".repeat(64) } as never;

describe("the plan of a session that only brings home", () => {
  let catalogue: Catalogue;
  beforeAll(async () => {
    catalogue = await openTestCatalogue();
    await catalogue.apply(target("a", 1));
    await catalogue.apply(action("look"));
  }, 60_000);
  afterAll(() => catalogue?.close());

  async function plan(request: Omit<SessionRequest, "target">, open: boolean) {
    await catalogue.closeSnapshot("a", "kept-by-catalogue");
    if (open) await catalogue.keepSnapshot(snapshot("a", "kept-by-catalogue"));
    const input = { request: { target: "a", ...request }, session: "s", workflowId: "maintenance/a" };
    return await planSession(catalogue, objects, input);
  }
  const kept = snapshot("a", "kept-by-site");

  it("adopts what a site kept where the catalogue has lost it", async () => {
    expect((await plan({ restoreOnly: true, kept }, false)).adopted?.session).toBe("kept-by-site");
  });

  it("believes the catalogue rather than the site", async () => {
    expect((await plan({ restoreOnly: true, kept }, true)).adopted?.session).toBe("kept-by-catalogue");
  });

  it("refuses another target's snapshot, and one for a session that goes away", async () => {
    const refusal = { code: "invalid", message: expect.stringContaining("leave it out") };
    await expect(plan({ restoreOnly: true, kept: snapshot("b", "s") }, false)).rejects.toMatchObject(refusal);
    await expect(plan({ action: "look", kept }, false)).rejects.toMatchObject(refusal);
  });

  it("refuses a target that nothing was kept of", async () => {
    await expect(plan({ restoreOnly: true }, false)).rejects.toMatchObject({ code: "conflict" });
  });
});

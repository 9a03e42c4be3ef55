import { afterEach, expect, test } from "vitest";
import { type Effect, watched, watchedPool } from "../../workers/effects.js";

const HOOK = Symbol.for("pitstop.effects");
const holder = globalThis as Record<symbol, unknown>;
afterEach(() => {
  delete holder[HOOK];
});

class Journal {
  #kept = new Map<string, string>();
  get = (target: string) => this.#kept.get(target) ?? null;
  async save(entry: { target: string; text: string }): Promise<string> {
    this.#kept.set(entry.target, entry.text);
    return entry.text;
  }
}

test("without a hook the object itself is handed out", () => {
  const journal = new Journal();
  expect(watched("journal", journal)).toBe(journal);
});

test("a hook is told before and after each side effect, with its target, and of no reading", async () => {
  const seen: Effect[] = [];
  holder[HOOK] = (effect: Effect) => void seen.push(effect);
  const journal = watched("journal", new Journal());
  expect(await journal.save({ target: "r1", text: "kept" })).toBe("kept");
  expect(journal.get("r1")).toBe("kept");
  expect(seen).toEqual([
    { point: "journal.save", when: "before", target: "r1" },
    { point: "journal.save", when: "after", target: "r1" },
  ]);
});

test.each(["before", "after"] as const)(
  "a hook that throws %s fails the call, which was done only after",
  async (when) => {
    holder[HOOK] = (effect: Effect) => {
      if (effect.when === when) throw new Error("planted");
    };
    const real = new Journal();
    await expect(watched("journal", real).save({ target: "r1", text: "kept" })).rejects.toThrow("planted");
    expect(real.get("r1")).toBe(when === "after" ? "kept" : null);
  },
);

test("a write to a BMC is named by its method and its noun, without identifiers", async () => {
  const seen: Effect[] = [];
  holder[HOOK] = (effect: Effect) => void seen.push(effect);
  const answer = { statusCode: 204, headers: {}, body: null as never };
  const pool = watchedPool({ request: async () => answer, destroy: async () => undefined }, "r1");
  const common = { headers: {}, body: null, signal: AbortSignal.timeout(60_000) };
  await pool.request({ method: "GET", path: "/redfish/v1/Systems/1", ...common });
  await pool.request({ method: "POST", path: "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", ...common });
  await pool.request({ method: "PATCH", path: "/redfish/v1/Systems/437XR1138R2", ...common });
  await pool.request({ method: "DELETE", path: "/redfish/v1/SessionService/Sessions/12", ...common });
  expect(seen.filter(({ when }) => when === "before").map(({ point, target }) => [point, target])).toEqual([
    ["bmc.POST ComputerSystem.Reset", "r1"],
    ["bmc.PATCH Systems", "r1"],
    ["bmc.DELETE Sessions", "r1"],
  ]);
});

test("a write to a BMC says which reset it is, and whether it writes the boot order", async () => {
  const seen: Effect[] = [];
  holder[HOOK] = (effect: Effect) => void seen.push(effect);
  const answer = { statusCode: 204, headers: {}, body: null as never };
  const pool = watchedPool({ request: async () => answer, destroy: async () => undefined }, "r1");
  const send = (method: "POST" | "PATCH", path: string, body: object) =>
    pool.request({ method, path, headers: {}, body: JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
  await send("POST", "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", { ResetType: "ForceOff" });
  await send("PATCH", "/redfish/v1/Systems/1", { Boot: { BootOrder: ["Disk"] } });
  await send("PATCH", "/redfish/v1/Systems/1", { Boot: { BootSourceOverrideEnabled: "Disabled" } });
  expect(seen.map(({ when, what }) => [when, what])).toEqual(
    ["ForceOff", "BootOrder", undefined].flatMap((what) => [
      ["before", what],
      ["after", what],
    ]),
  );
});

test("a campaign's effect is told with the first target that it names", async () => {
  const seen: Effect[] = [];
  holder[HOOK] = (effect: Effect) => void seen.push(effect);
  const activities = watched("activity", { planCampaign: async (_: object) => null });
  await activities.planCampaign({ request: { targets: ["r1", "r2"], action: "look" } });
  await activities.planCampaign({ request: { select: "rack=r1", action: "look" } });
  expect(seen.map(({ target }) => target)).toEqual(["r1", "r1", null, null]);
});

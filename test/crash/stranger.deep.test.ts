import { afterAll, beforeAll, expect, it } from "vitest";
import { isStrange, spendOverride } from "../support/stranger.js";
import { type Case, Fleet, names, runCases, Slots } from "./fleet.js";

/**
 * Where the override is armed, and the boot that it was armed for has not begun. A system that is reset while it is asked to go does not
 * hear of it: its owner forbids force, so the work is given up, and nothing but home is wanted.
 */
const MOMENTS: Record<string, { point: string; when: "before" | "after"; nth: number; outcome?: "succeeded" }> = {
  "when it is armed, before it is asked to go": { point: "activity.armTarget", when: "after", nth: 1 },
  "while it is asked to go": { point: "bmc.POST ComputerSystem.Reset", when: "before", nth: 1 },
  "when it is off": { point: "activity.ensureOff", when: "after", nth: 1, outcome: "succeeded" },
  "right before it is turned on": {
    ...{ point: "bmc.POST ComputerSystem.Reset", when: "before", nth: 2 },
    outcome: "succeeded",
  },
};
const targets = names("stranger", Object.keys(MOMENTS).length);
let fleet: Fleet;

beforeAll(async () => {
  fleet = await Fleet.start(targets.map((name) => ({ name, shutdown: { graceful: "15s", then: "abort" } })));
  const limits = { boot: "20s", bootAttempts: 2, work: "5m", lease: "2m", home: "2m" };
  const tasks = [{ name: "look", script: "echo '{}'" }];
  await fleet.operations.apply({ kind: "Action", name: "patient", image: "tiny", mode: "active", tasks, limits });
}, 120_000);
afterAll(() => fleet?.stop());

it("a one-time override that a stranger's resets have spent: the session arms once more where it may, and the target comes home", async () => {
  const spent = new Set<string>();
  const cases = Object.entries(MOMENTS).map(([name, moment], i): Case => {
    const target = targets[i] ?? "";
    return {
      name,
      action: "patient",
      on: async ({ point, when, nth }) => {
        if (point !== moment.point || when !== moment.when || nth !== moment.nth) return;
        await spendOverride(fleet.lab.target(target));
        spent.add(name);
      },
      expected: { strange: isStrange, ...(moment.outcome ? { outcome: moment.outcome } : {}) },
    };
  });
  expect(await runCases(fleet, targets, cases, new Slots(cases.length))).toEqual({});
  expect([...spent].sort(), "else there was no stranger").toEqual(Object.keys(MOMENTS).sort());
}, 300_000);

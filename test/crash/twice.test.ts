import { ApplicationFailure } from "@temporalio/common";
import { afterAll, beforeAll, expect, it } from "vitest";
import { centralActivities } from "../../activities/central.js";
import { siteActivities } from "../../activities/site.js";
import { type Case, Fleet, names, type OnEffect, runCases } from "./fleet.js";

/**
 * Every activity twice, failed, and taken back; every write to a BMC done and not heard of. Which there are is taken from the
 * code and from sessions that went well, so that a new one is among them by itself.
 */

/** All activities; nothing is called when they are made. */
const SITE = Object.keys(siteActivities({} as never));
const CENTRAL = Object.keys(centralActivities({} as never));
/** Not a session's: what they do is looked at in the tests of campaigns. */
const CAMPAIGNS = ["planCampaign", "awaitFreeTarget"];
/** Enough for every failing part at once on two cores. */
const AT_ONCE = 12;
const MAX_MACHINES = 160;
const MINUTES = 60_000;

/** How often each point was passed in a session that went well. */
type Passed = Map<string, number>;
const passed: Record<string, Passed> = {};
let fleet: Fleet;
const machines = names("t", MAX_MACHINES);
let taken = 0;
const take = (count: number) => {
  taken += count;
  return machines.slice(taken - count, taken);
};

const limits = { boot: "4s", bootAttempts: 2, work: "5m", lease: "2m", home: "3m" };
/** Sessions that together reach every activity. `faults`: of the machine. */
const STORIES: Record<string, { action: object; faults?: object }> = {
  look: {
    action: { name: "look-long", image: "tiny", mode: "active", tasks: [{ name: "look", script: "echo '{}'" }] },
  },
  silent: {
    action: { name: "silent", image: "tiny", mode: "active", tasks: [], limits },
    faults: { noFirstContact: true },
  },
};

beforeAll(async () => {
  fleet = await Fleet.start(machines.map((name) => ({ name })));
  for (const { action } of Object.values(STORIES)) await fleet.operations.apply({ kind: "Action", ...action });
  for (const [story, { action }] of Object.entries(STORIES)) {
    const seen: Passed = new Map();
    const failures = await run([
      {
        ...scene(story, `a session ${story}`, ({ point, when }) => {
          if (when === "after") seen.set(point, (seen.get(point) ?? 0) + 1);
        }),
        action: (action as { name: string }).name,
      },
    ]);
    expect(failures).toEqual({});
    passed[story] = seen;
  }
}, 4 * MINUTES);
afterAll(() => fleet?.stop());

function scene(story: string, name: string, on: OnEffect): Case {
  const { action, faults } = STORIES[story] ?? { action: {} };
  return { name, action: (action as { name: string }).name, on, ...(faults ? { faults } : {}) };
}

const run = (cases: Case[]) => runCases(fleet, take(cases.length), cases, AT_ONCE);

/** Each occurrence of an activity, in the first story that passes it. */
function occurrences(): { story: string; activity: string; nth: number }[] {
  const known = new Set<string>();
  return Object.keys(STORIES).flatMap((story) => {
    const mine = [...(passed[story] ?? [])].filter(([point]) => point.startsWith("activity.") && !known.has(point));
    for (const [point] of mine) known.add(point);
    return mine.flatMap(([point, times]) =>
      Array.from({ length: times }, (_, index) => ({ story, activity: point.slice(9), nth: index + 1 })),
    );
  });
}

const failure = (nonRetryable: boolean) =>
  ApplicationFailure.create({
    message: "Injected by a test.",
    type: nonRetryable ? "refused" : "unreachable",
    nonRetryable,
  });

/** Throws at one occurrence of a point, or at `times` from there on. */
const failing =
  (point: string, when: "before" | "after", nth: number, thrown: () => Error, times = 1): OnEffect =>
  (effect) => {
    if (effect.point === point && effect.when === when && effect.nth >= nth && effect.nth < nth + times) throw thrown();
  };

it("the sessions here reach every activity that a session has", () => {
  const reached = new Set(occurrences().map(({ activity }) => activity));
  expect([...SITE, ...CENTRAL].filter((name) => !CAMPAIGNS.includes(name) && !reached.has(name))).toEqual([]);
});

it(
  "each activity survives being run again after it was done and its completion was lost",
  async () => {
    const cases = occurrences().map(({ story, activity, nth }) =>
      scene(
        story,
        `${activity} ${nth} twice`,
        failing(`activity.${activity}`, "after", nth, () => failure(false)),
      ),
    );
    expect(await run(cases)).toEqual({});
  },
  6 * MINUTES,
);

it(
  "each activity may fail before it does anything, and is tried again",
  async () => {
    const cases = occurrences().map(({ story, activity, nth }) =>
      scene(
        story,
        `${activity} ${nth} fails`,
        failing(`activity.${activity}`, "before", nth, () => failure(false), 2),
      ),
    );
    expect(await run(cases)).toEqual({});
  },
  6 * MINUTES,
);

it.each(["before", "after"] as const)(
  "where an activity is refused %s its effect, the target comes home",
  async (when) => {
    const cases = occurrences()
      // A site that will not hear of the end is told again 5 s later; test/workflows/session.test.ts looks at that.
      .filter(({ activity }) => activity !== "closeSite")
      .map(({ story, activity, nth }) =>
        scene(
          story,
          `${activity} ${nth} refused ${when}`,
          failing(`activity.${activity}`, when, nth, () => failure(true)),
        ),
      );
    expect(await run(cases)).toEqual({});
  },
  6 * MINUTES,
);

it.each(["before", "after"] as const)(
  "a write to a BMC whose answer is lost %s it is done costs nothing",
  async (when) => {
    const lost = () => Object.assign(new Error("injected by a test"), { code: "ECONNRESET" });
    const writes = [...(passed.look ?? [])].filter(([point]) => point.startsWith("bmc."));
    expect(writes.map(([point]) => point)).toEqual(
      expect.arrayContaining(["bmc.POST ComputerSystem.Reset", "bmc.PATCH Systems", "bmc.POST Sessions"]),
    );
    const cases = writes.flatMap(([point, times]) =>
      Array.from({ length: times }, (_, i) => ({
        ...scene("look", `${point} ${i + 1} lost ${when}`, failing(point, when, i + 1, lost)),
        expected: { outcome: "succeeded" as const },
      })),
    );
    expect(await run(cases)).toEqual({});
  },
  6 * MINUTES,
);

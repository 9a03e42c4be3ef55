import { ApplicationFailure } from "@temporalio/common";
import { errors } from "undici";
import { afterAll, beforeAll, expect, it } from "vitest";
import { centralActivities } from "../../activities/central.js";
import { siteActivities } from "../../activities/site.js";
import { perTier } from "../support/tier.js";
import { type Case, Fleet, names, type OnEffect, runCases, Slots } from "./fleet.js";
import { bmcWritesInCode } from "./points.js";
import { campaignOver, Listener, type Passed, STORIES, scene, startCampaign, type Write } from "./stories.js";

/**
 * Every activity twice, failed, and taken back; every write to a BMC done and not heard of. Which there are is taken from the
 * code and from sessions that went well, so that a new one is among them by itself.
 */

/** All activities; nothing is called when they are made. */
const SITE = Object.keys(siteActivities({} as never));
const CENTRAL = Object.keys(centralActivities({} as never));
/** A campaign that is refused has no session that could bring anything home: looked at apart. */
const CAMPAIGNS = ["planCampaign", "awaitFreeTarget"];
/** Enough for every failing part at once on two cores. */
const AT_ONCE = 12;
/** Twice as many as are away at once, so that each rests at home, and those that a story changes for good. */
const MACHINES = perTier("machines for them", { fast: 36, deep: 60 });
const MINUTES = 60_000;
/** All of them share the slots: each may have to wait for the cases of the others. */
const TOGETHER = { timeout: 20 * MINUTES };
const CALLS = perTier("calls of an activity that is run twice", { fast: 1, deep: Number.POSITIVE_INFINITY });
const FAILURES = perTier("cases of each other way to fail", { fast: 1, deep: Number.POSITIVE_INFINITY });

/** How often each point was passed in a story, and what was written to the BMC. */
const passed: Record<string, Passed> = {};
const written: Write[] = [];
let fleet: Fleet;
const machines = names("t", MACHINES);

beforeAll(async () => {
  fleet = await Fleet.start(machines.map((name) => ({ name })));
  for (const { action } of Object.values(STORIES)) await fleet.operations.apply({ kind: "Action", ...action });
  const peaceful = Object.entries(STORIES).map(([story, { outcome }]) => {
    const listener = new Listener(story);
    passed[story] = listener.passed;
    return { listener, one: { ...scene(fleet, story, story, listener.on), expected: { outcome } } };
  });
  expect(await run(peaceful.map(({ one }) => one))).toEqual({});
  written.push(...peaceful.flatMap(({ listener }) => listener.writes));
}, 6 * MINUTES);
afterAll(() => fleet?.stop());

const slots = new Slots(AT_ONCE);
const run = (cases: Case[]) => runCases(fleet, machines, cases, slots);
/** As many of them as this tier takes, spread over the whole. */
const some = <T>(all: T[]): T[] => all.filter((_, i) => i % Math.max(1, Math.ceil(all.length / FAILURES)) === 0);

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

/** Each write to a BMC of each kind, in the first story that has it. */
function writes(): Write[] {
  const first = new Map<string, string>();
  for (const { kind, story } of written) if (!first.has(kind)) first.set(kind, story);
  return written.filter(({ kind, story }) => first.get(kind) === story);
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

it("the sessions here reach every activity", () => {
  const reached = new Set(occurrences().map(({ activity }) => activity));
  expect([...SITE, ...CENTRAL].filter((name) => !reached.has(name))).toEqual([]);
});

/** How each place in the code that writes to a BMC is met here, or why it is not. */
const MET: Record<string, RegExp | string> = {
  "library.ts customFetch": /(POST|DELETE) Sessions|ComputerSystem\.Reset (On|ForceOff|GracefulShutdown)/,
  "media.ts post": /VirtualMedia\.(Insert|Eject)Media/,
  "media.ts patch": "a slot without actions, which no machine of the lab has: test/control/boot.test.ts",
  "patch.ts send": /PATCH (Systems|Settings)/,
  "reset.ts send": "a reset that goes by another name: test/control/redfish.test.ts",
};
/** No activity asks for it. */
const UNASKED = ["ForceRestart"];

it("a write to a BMC of each kind that the code has is among them", () => {
  const { methods, actions, resets, places } = bmcWritesInCode();
  const kinds = [...new Set(writes().map(({ kind }) => kind))];
  const met = (pattern: RegExp) => kinds.some((kind) => pattern.test(kind));
  expect(methods.filter((method) => !met(new RegExp(`^${method}: `)))).toEqual([]);
  expect(actions.filter((action) => !met(new RegExp(`: POST ${action}( |$)`)))).toEqual([]);
  expect(resets.filter((reset) => !met(new RegExp(` ${reset}$`)))).toEqual(UNASKED);
  // A new place that writes: give it a story (stories.ts), and say here how it is met.
  expect(places.toSorted()).toEqual(Object.keys(MET).toSorted());
  const unmet = Object.entries(MET).filter(([, how]) => typeof how !== "string" && !met(how));
  expect(unmet).toEqual([]);
  expect(kinds).toEqual(
    expect.arrayContaining([
      "a reading: POST Sessions",
      "control.close: DELETE Sessions",
      "nextBoot.arm: PATCH Systems",
      "bootOrder.restore: PATCH Systems BootOrder",
    ]),
  );
});

it.concurrent(
  "each activity survives being run again after it was done and its completion was lost",
  TOGETHER,
  async () => {
    const calls = occurrences().filter(({ nth }) => nth <= CALLS);
    const cases = calls.map(({ story, activity, nth }) =>
      scene(
        fleet,
        story,
        `${activity} ${nth} twice`,
        failing(`activity.${activity}`, "after", nth, () => failure(false)),
      ),
    );
    expect(await run(cases)).toEqual({});
  },
);

it.concurrent("each activity may fail before it does anything, and is tried again", TOGETHER, async () => {
  const cases = some(occurrences()).map(({ story, activity, nth }) =>
    scene(
      fleet,
      story,
      `${activity} ${nth} fails`,
      failing(`activity.${activity}`, "before", nth, () => failure(false), 2),
    ),
  );
  expect(await run(cases)).toEqual({});
});

it.concurrent.each(["before", "after"] as const)(
  "where an activity is refused %s its effect, the target comes home",
  TOGETHER,
  async (when) => {
    // A site that will not hear of the end is told again: stranded.deep.test.ts looks at that.
    const refused = occurrences().filter(({ activity }) => activity !== "closeSite" && !CAMPAIGNS.includes(activity));
    const cases = some(refused).map(({ story, activity, nth }) =>
      scene(
        fleet,
        story,
        `${activity} ${nth} refused ${when}`,
        failing(`activity.${activity}`, when, nth, () => failure(true)),
      ),
    );
    expect(await run(cases)).toEqual({});
  },
);

it.concurrent(
  "a campaign that is refused says why, and has touched nothing and left no session behind",
  TOGETHER,
  async () => {
    const cases = (["before", "after"] as const).map(
      (when): Case => ({
        name: `planCampaign refused ${when}`,
        on: failing("activity.planCampaign", when, 1, () => failure(true)),
        async run(_, target) {
          const campaign = await campaignOver(fleet, await startCampaign(fleet, target));
          expect(campaign).toMatchObject({ failure: "Injected by a test.", sessions: [] });
          return { sessions: [], boots: [0, 0] };
        },
      }),
    );
    expect(await run(cases)).toEqual({});
  },
);

it.concurrent(
  "a campaign that is refused the wait for a busy target says so of that target, and leaves it alone",
  TOGETHER,
  async () => {
    const cases = (["before", "after"] as const).map(
      (when): Case => ({
        name: `awaitFreeTarget refused ${when}`,
        on: failing("activity.awaitFreeTarget", when, 1, () => failure(true)),
        async run(_, target) {
          const session = await fleet.start(target, "cycle");
          const id = await startCampaign(fleet, target);
          expect(await campaignOver(fleet, id)).toMatchObject({ failure: null, sessions: [] });
          expect(await fleet.temporal.workflow.getHandle(id).result()).toMatchObject({
            ended: [{ target, session: "", untouched: true, failure: { message: "Injected by a test." } }],
          });
          await fleet.ended(session);
          return { sessions: [session] };
        },
      }),
    );
    expect(await run(cases)).toEqual({});
  },
);

it.concurrent.each(["before", "after"] as const)(
  "a write to a BMC whose answer is lost, or never comes, %s it is done costs nothing",
  TOGETHER,
  async (when) => {
    const lost = {
      "is reset": () => Object.assign(new Error("injected by a test"), { code: "ECONNRESET" }),
      "times out": () => new errors.HeadersTimeoutError("injected by a test"),
    };
    const cases = writes().flatMap(({ story, point, nth, kind }) =>
      Object.entries(lost).map(([how, thrown]) => ({
        ...scene(fleet, story, `${story}: ${kind} (${nth}) ${how} ${when}`, failing(point, when, nth, thrown)),
        expected: { outcome: STORIES[story]?.outcome ?? null },
      })),
    );
    expect(await run(some(cases))).toEqual({});
  },
);

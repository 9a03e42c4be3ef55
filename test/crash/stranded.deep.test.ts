import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ApplicationFailure } from "@temporalio/common";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sessionWorkflowId } from "../../src/domain/ids.js";
import { type Case, Fleet, names, type OnEffect, runCases, Slots } from "./fleet.js";

/** Each step of the way home fails until a person is called, and succeeds when that person says so. */

const MINUTES = 60_000;
const AT_ONCE = 12;
const machines = names("u", 16);
let fleet: Fleet;

/** The occurrences of a session's way home, in its order. */
const UNDOS = [
  { activity: "ensureOff", nth: 2 },
  { activity: "restoreBoot", nth: 1 },
  { activity: "ensureOn", nth: 2 },
  { activity: "verifyHome", nth: 1 },
];
/** A refusal is tried three times as a whole; a refused password once more, after a minute. */
const FAILURES = [
  { when: "before", type: "refused" },
  { when: "before", type: "unauthorized" },
  { when: "after", type: "unauthorized" },
] as const;

beforeAll(async () => {
  fleet = await Fleet.start(machines.map((name) => ({ name })));
}, 3 * MINUTES);
afterAll(() => fleet?.stop());

/** Fails an occurrence of an activity and all after it, until it is mended. */
function broken(
  activity: string,
  from: number,
  when: "before" | "after",
  type: string,
): { on: OnEffect; mend(): void } {
  let mended = false;
  return {
    on(effect) {
      if (mended || effect.point !== `activity.${activity}` || effect.when !== when || effect.nth < from) return;
      throw ApplicationFailure.create({ message: `${activity} fails in a test.`, type, nonRetryable: true });
    },
    mend() {
      mended = true;
    },
  };
}

it(
  "a step of the way home that fails until a person is called brings the target home when that person says retry",
  async () => {
    const cases = FAILURES.flatMap(({ when, type }) =>
      UNDOS.map(({ activity, nth }): Case => {
        const { on, mend } = broken(activity, nth, when, type);
        return {
          name: `${activity} ${type} ${when}`,
          on,
          async run(_, target) {
            const session = await fleet.start(target, "look");
            const { stranded, outcome } = await fleet.ended(session);
            // The way home reads the power again after a minute, and skips a step that is done.
            const isDone = when === "after" && (activity === "ensureOff" || activity === "ensureOn");
            expect({ stranded, outcome }).toEqual({
              stranded: isDone ? null : { code: type, message: `${activity} fails in a test.` },
              outcome: "succeeded",
            });
            mend();
            if (isDone) return { sessions: [session] };
            await fleet.client.retry(session, { by: "a test" });
            await fleet.until(session, ({ endedAt }) => endedAt !== null, "ended after the retry");
            return { sessions: [session] };
          },
          expected: { outcome: "succeeded" },
        };
      }),
    );
    expect(await runCases(fleet, machines, cases, new Slots(AT_ONCE))).toEqual({});
  },
  12 * MINUTES,
);

it(
  "a site that will not hear of the end is told again, while the record says already that the target is home",
  async () => {
    const cases = (["before", "after"] as const).map((when): Case => {
      const { on, mend } = broken("closeSite", 1, when, "refused");
      return {
        name: `closeSite refused ${when}`,
        on,
        async run(_, target) {
          const session = await fleet.start(target, "look");
          expect(await fleet.ended(session)).toMatchObject({ ending: "restored", stranded: null });
          // Who came now would find what the site kept of this session, and take it for a lost one's.
          await expect(fleet.start(target, "look")).rejects.toThrow("busy");
          expect(existsSync(join(fleet.operations.data, "site", "journal", `${target}.json`))).toBe(when === "before");
          mend();
          await over(target);
          return { sessions: [session] };
        },
        expected: { outcome: "succeeded" },
      };
    });
    expect(await runCases(fleet, machines, cases, new Slots(AT_ONCE))).toEqual({});
  },
  3 * MINUTES,
);

/** Waits until nobody holds the target. */
async function over(target: string): Promise<void> {
  const workflow = fleet.temporal.workflow.getHandle(sessionWorkflowId(target));
  for (const end = Date.now() + 2 * MINUTES; Date.now() < end; await sleep(250)) {
    if ((await workflow.describe()).status.name !== "RUNNING") return;
  }
  throw new Error(`${target} is still held`);
}

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { messageOf } from "../../src/domain/errors.js";
import { CENTRAL_QUEUE, sessionWorkflowId } from "../../src/domain/ids.js";
import type { Effect } from "../../workers/effects.js";
import { seed } from "../support/tier.js";
import { type Case, Fleet, names, runCases, Slots } from "./fleet.js";
import type { Expected } from "./judge.js";

/** Snapshots outlive sessions: what is home is never learnt from a target that is armed, or away. */

const MINUTES = 60_000;
const AT_ONCE = 8;
const machines = names("s", 40);
let fleet: Fleet;

/** In the order of a session. */
const MOMENTS: Pick<Effect, "point" | "when">[] = [
  { point: "activity.captureSnapshot", when: "after" },
  { point: "activity.keepSnapshot", when: "after" },
  { point: "activity.armTarget", when: "before" },
  { point: "activity.armTarget", when: "after" },
  { point: "bmc.POST ComputerSystem.Reset", when: "after" },
  { point: "activity.ensureOff", when: "after" },
  { point: "activity.ensureOn", when: "before" },
  { point: "activity.ensureOn", when: "after" },
  { point: "activity.offerTask", when: "before" },
  { point: "activity.offerTask", when: "after" },
  { point: "activity.restoreBoot", when: "before" },
  { point: "activity.restoreBoot", when: "after" },
  { point: "activity.verifyHome", when: "before" },
];

beforeAll(async () => {
  fleet = await Fleet.start(machines.map((name) => ({ name })));
}, 3 * MINUTES);
afterAll(() => fleet?.stop());

const run = async (cases: Case[]) => {
  expect(await runCases(fleet, machines.splice(0, cases.length), cases, new Slots(AT_ONCE))).toEqual({});
};
const workflow = (target: string, runId?: string) =>
  fleet.temporal.workflow.getHandle(sessionWorkflowId(target), runId);

/** Resolves at the first such effect for the target, when `act` has been done there. */
function once(
  target: string,
  { point, when }: Pick<Effect, "point" | "when">,
  act: () => Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = false;
    fleet.at(target, async (effect) => {
      if (done || effect.point !== point || effect.when !== when) return;
      done = true;
      await act().then(resolve, reject);
    });
  });
}

/** Waits until nobody holds the target, whoever began to bring it home; the sessions that it had, but for the lost one. */
async function settled(target: string, lost: string): Promise<Expected> {
  const end = Date.now() + 4 * MINUTES;
  for (;;) {
    const { items } = await fleet.client.sessions({ target, limit: 100 });
    const others = items.filter(({ session }) => session !== lost);
    const held = (await workflow(target).describe()).status.name === "RUNNING";
    if (!held && others.length > 0 && others.every((one) => one.endedAt !== null)) {
      return { sessions: others.map(({ session }) => session), lost: [lost] };
    }
    if (Date.now() > end) throw new Error(`${target} is still held, or nobody came for it`);
    await sleep(500);
  }
}

it(
  "a target whose session was terminated, wherever that was, is brought home by the next one",
  async () => {
    await run(
      MOMENTS.map((moment) => ({
        name: `terminated ${moment.when} ${moment.point}`,
        run: async (_, target) => {
          const gone = once(target, moment, async () => void (await workflow(target).terminate("a test")));
          const lost = await fleet.start(target, "look");
          await gone;
          // Whether it finds its target free, away, or held by a restore that has begun: home is what the lost one saw.
          await fleet.start(target, "look").catch((error: unknown) => {
            if (!messageOf(error).includes("busy")) throw error;
          });
          return await settled(target, lost);
        },
      })),
    );
  },
  8 * MINUTES,
);

it(
  "a refused request for a target that a lost session left away brings it home all the same",
  async () => {
    await run([
      {
        name: "an action that does not exist",
        run: async (_, target) => {
          const at = { point: "activity.offerTask", when: "before" } as const;
          const gone = once(target, at, async () => void (await workflow(target).terminate("a test")));
          const lost = await fleet.start(target, "look");
          await gone;
          const args = [{ target, action: "no-such-action" }];
          const next = await fleet.temporal.workflow.start("maintenanceSession", {
            ...{ workflowId: sessionWorkflowId(target), taskQueue: CENTRAL_QUEUE, args },
          });
          const record = await fleet.ended(next.firstExecutionRunId);
          expect(record).toMatchObject({ ending: "restored", untouched: false, outcome: "failed" });
          expect(record.failure).toMatchObject({ code: "notFound" });
          return await settled(target, lost);
        },
      },
    ]);
  },
  6 * MINUTES,
);

/** The moments from which on the target may be away, or its session over. */
const RESETS = MOMENTS.filter(({ point, when }) => when === "before" || point === "activity.ensureOn");
const TASKS = ["first", "middle", "last"] as const;
/** By the seed, one of them; all of them with PITSTOP_TEST_WHOLE. */
const RESET_TO = process.env.PITSTOP_TEST_WHOLE ? TASKS : TASKS.filter((_, third) => third === seed % TASKS.length);

it(
  "a session that is reset to an earlier task, as in the Temporal UI, comes home all the same",
  async () => {
    const cases = RESETS.flatMap((moment) =>
      RESET_TO.map(
        (to): Case => ({
          name: `reset to its ${to} task ${moment.when} ${moment.point}`,
          run: async (_, target) => {
            const reset = once(target, moment, () => resetTo(target, to));
            const session = await fleet.start(target, "look");
            await reset;
            await fleet.ended(session);
            return { sessions: [session] };
          },
        }),
      ),
    );
    console.log(`resets to the ${RESET_TO.join(", ")} task; PITSTOP_TEST_WHOLE=1 for each of ${TASKS.join(", ")}`);
    await run(cases);
  },
  8 * MINUTES,
);

async function resetTo(target: string, to: (typeof TASKS)[number]): Promise<void> {
  const { events } = await workflow(target).fetchHistory();
  const tasks = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  const at = { first: 0, middle: Math.floor(tasks.length / 2), last: tasks.length - 1 }[to];
  const { runId } = await workflow(target).describe();
  await fleet.temporal.workflowService.resetWorkflowExecution({
    namespace: fleet.operations.temporal.namespace,
    workflowExecution: { workflowId: sessionWorkflowId(target), runId },
    reason: "a test",
    workflowTaskFinishEventId: tasks[at]?.eventId ?? null,
    requestId: `${target}-reset`,
  });
}

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { databasePid, killDatabase } from "../support/database.js";
import { until } from "../support/operations.js";
import { type Case, Fleet, names, runCases, Slots } from "./fleet.js";

const AT_ONCE = 20;
const KILLS = 4;
const targets = names("d", AT_ONCE);
let fleet: Fleet;

beforeAll(async () => {
  fleet = await Fleet.start(
    targets.map((name) => ({ name })),
    { embedded: true },
  );
}, 120_000);
afterAll(() => fleet?.stop());

it(`${AT_ONCE} sessions whose database is killed ${KILLS} times come home, and none of their records is lost`, async () => {
  const sessions: string[] = [];
  const cases = targets.map(
    (name): Case => ({
      name,
      expected: { outcome: "succeeded" },
      run: async (_, target) => {
        const session = await fleet.start(target, "look");
        sessions.push(session);
        await fleet.ended(session);
        return { sessions: [session] };
      },
    }),
  );
  const running = runCases(fleet, [...targets], cases, new Slots(AT_ONCE));
  let over = false;
  void running.finally(() => {
    over = true;
  });
  const begun = () => (sessions.length === AT_ONCE || over ? true : null);
  await until(begun, "all sessions to begin", 60_000);
  let kills = 0;
  while (kills < KILLS && !over) {
    const pid = databasePid(fleet.operations.data);
    killDatabase(fleet.operations.data);
    kills++;
    await until(
      () => ([pid, null].includes(databasePid(fleet.operations.data)) ? null : true),
      "another database",
      60_000,
    );
    await sleep(300);
  }
  expect(await running).toEqual({});
  expect(kills).toBeGreaterThan(1);
  const records = await Promise.all(sessions.map((session) => fleet.client.session(session)));
  expect(records.map(({ ending, outcome }) => `${ending} ${outcome}`)).toEqual(
    sessions.map(() => "restored succeeded"),
  );
}, 300_000);

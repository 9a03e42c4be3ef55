import { expect, test } from "vitest";
import { powerComplaints, powerLog } from "../../crash/power-log.js";
import { trueTime } from "./clock.js";

const BEGAN = Date.parse("2026-01-01T12:00:00.000Z");
const at = (second: number) => new Date(BEGAN + second * 1000).toISOString();
const HALF_AN_HOUR = 1_800;

test.each([HALF_AN_HOUR, -HALF_AN_HOUR])("times by a clock that jumped by %i s are put in order again", (jumpS) => {
  const jumps = [{ atMs: BEGAN + 60_000, skewMs: jumpS * 1000 }];
  for (const second of [0, 59, 60, 61, 900]) {
    const shown = second < 60 ? at(second) : at(second + jumpS);
    expect(trueTime(shown, BEGAN, jumps)).toBe(at(second));
  }
});

test("an action that is missing is missed, whatever the clock did in between", () => {
  const jumps = [{ atMs: BEGAN + 60_000, skewMs: -HALF_AN_HOUR * 1000 }];
  const line = (second: number, what: string) => `${at(second)} t1 ${what}`;
  const asked = (second: number) => line(second, "POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset 204");
  const log = powerLog([
    ...[asked(50), line(50, "power kill (Reset ForceOff)"), asked(55), line(55, "power start pxe (Reset On)")],
    ...[asked(70), line(70, "power kill (Reset ForceOff)"), asked(75), line(75, "power start disk (Reset On)")],
  ]);
  const result = "done" as const;
  const told = [
    ...[49, 54].map((second, i) => ({ at: at(second), what: i === 0 ? "ForceOff" : "On", why: "test", result })),
    ...[69, 74].map((second, i) => ({
      at: at(second - HALF_AN_HOUR),
      what: i === 0 ? "ForceOff" : "On",
      why: "test",
      result,
    })),
  ];
  const inOrder = told.map((action) => ({ ...action, at: trueTime(action.at, BEGAN, jumps) }));
  expect(powerComplaints("On", log, inOrder)).toEqual([]);
  expect(powerComplaints("On", log, inOrder.slice(0, 3))).toEqual([
    `No record explains the start by Reset On at ${at(75)}.`,
  ]);
  const more = [...inOrder, { at: at(80), what: "ForceOff", why: "test", result }];
  expect(powerComplaints("On", { ...log, accepted: 5 }, more)).toEqual([
    `The BMC knows nothing of the ForceOff at ${at(80)} that it took.`,
  ]);
});

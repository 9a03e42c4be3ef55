import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerUnreachable } from "../../src/api/client.js";
import { PitstopError } from "../../src/domain/errors.js";
import type { PowerAction } from "../../src/domain/session.js";
import { Fleet } from "./fleet.js";
import { Judge } from "./judge.js";
import { powerComplaints, powerLog } from "./power-log.js";

const line = (second: number, what: string) => `2026-01-01T00:00:0${second}.500Z t1 ${what}`;
const action = (second: number, what: string, result: PowerAction["result"] = "done"): PowerAction => ({
  at: `2026-01-01T00:00:0${second}.000Z`,
  what,
  why: "test",
  result,
});
const ask = (second: number) => line(second, "POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset 204");
const whole = [
  ...[
    ask(1),
    line(1, "power button (Reset GracefulShutdown)"),
    line(2, "power guest-off (the system turned itself off)"),
  ],
  ...[ask(3), line(3, "power start pxe (Reset On)"), ask(5), line(5, "power kill (Reset ForceOff)")],
  ...[ask(6), line(6, "power start disk (Reset On)")],
];
const told = [action(1, "GracefulShutdown"), action(3, "On"), action(5, "ForceOff"), action(6, "On")];

describe("the judge of power", () => {
  it("finds nothing where each event has its action, and each action its event", () => {
    expect(powerComplaints("On", powerLog(whole), told)).toEqual([]);
  });

  it("names an event that no record explains", () => {
    const without = told.filter((one) => one.what !== "ForceOff");
    expect(powerComplaints("On", powerLog(whole), without)).toEqual([
      "No record explains the kill by Reset ForceOff at 2026-01-01T00:00:05.500Z.",
    ]);
  });

  it("names an action that the BMC knows nothing of", () => {
    const log = powerLog(whole.filter((one) => !one.includes("start disk")));
    expect(powerComplaints("On", log, told)).toEqual([
      "The BMC knows nothing of the On at 2026-01-01T00:00:06.000Z that it took.",
    ]);
  });

  it("takes an action for explained where the machine was so already, or its answer was lost", () => {
    const twice = [...told, action(7, "On")];
    expect(powerComplaints("On", powerLog([...whole, ask(7)]), twice)).toEqual([]);
    expect(powerComplaints("On", powerLog(whole), [...told, action(7, "ForceOff", "unanswered")])).toEqual([]);
    expect(powerComplaints("On", powerLog(whole), [...told, action(7, "ForceOff", "refused")])).toEqual([]);
  });

  it("takes an action for explained that the BMC took and forgot, and knows whose it was", () => {
    const log = powerLog([...whole, ask(7), line(7, "power lost (Reset GracefulShutdown)")]);
    expect(powerComplaints("On", log, [...told, action(7, "GracefulShutdown")])).toEqual([]);
    expect(powerComplaints("On", log, told)).toEqual([
      "No record explains the lost by Reset GracefulShutdown at 2026-01-01T00:00:07.500Z.",
    ]);
  });

  it("does not let one action explain two events", () => {
    const log = powerLog([...whole, line(7, "power kill (Reset ForceOff)"), line(8, "power start disk (Reset On)")]);
    expect(powerComplaints("On", log, told)).toHaveLength(2);
  });
});

describe("the judge", () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.start([{ name: "j1" }]);
  });
  afterAll(() => fleet.stop());

  it("finds nothing after a session that went well, and much while one is under way", async () => {
    const begun = await fleet.judge.begin("j1");
    let midway: string[] = [];
    fleet.at("j1", async ({ point, when }) => {
      if (point === "activity.offerTask" && when === "after") {
        midway = await fleet.judge.complaints(begun, { sessions: [] }, 1);
      }
    });
    const session = await fleet.start("j1", "look");
    await fleet.ended(session);
    expect(midway).toEqual(
      expect.arrayContaining([
        "The target's own system does not answer.",
        `Nobody asked for the sessions ${session}.`,
        "The site's journal still has an entry for j1.",
        expect.stringMatching(/^The catalogue does not let go of j1/),
      ]),
    );
    expect(await fleet.judge.complaints(begun, { sessions: [session], boots: [1, 1], outcome: "succeeded" })).toEqual(
      [],
    );
    expect(
      await fleet.judge.complaints(begun, { sessions: [session], boots: [2, 2], outcome: "failed" }, 1),
    ).toHaveLength(2);
  }, 120_000);

  it("waits for a server that is away, and puts back the document that it had taken out then", async () => {
    const away = new Set(["sessions", "delete", "applyYaml"]);
    const client = new Proxy(fleet.client, {
      get(real, name) {
        const method = Reflect.get(real, name).bind(real);
        if (!away.delete(String(name))) return method;
        return async (...args: unknown[]) => {
          // It had heard the one, and had not heard the others.
          if (name === "delete") await method(...args);
          throw new ServerUnreachable(real.url, new Error("it was killed"));
        };
      },
    });
    const judge = new Judge({ data: fleet.operations.data, client });
    const begun = await judge.begin("j1");
    expect(await judge.complaints(begun, { sessions: [] }, 1)).toEqual([]);
    expect(away).toEqual(new Set());
    expect(await fleet.client.get("targets", "j1")).toMatchObject({ name: "j1" });
  });

  it("puts the document back at its next look where the server would not have it at the first", async () => {
    const refused = new Set(["applyYaml"]);
    const client = new Proxy(fleet.client, {
      get(real, name) {
        const method = Reflect.get(real, name).bind(real);
        if (!refused.delete(String(name))) return method;
        return async () => {
          throw new PitstopError("internal", "Something that should not happen has happened.");
        };
      },
    });
    const judge = new Judge({ data: fleet.operations.data, client });
    const begun = await judge.begin("j1");
    expect(await judge.complaints(begun, { sessions: [] }, 1)).toEqual([
      "Something that should not happen has happened.",
    ]);
    await expect(fleet.client.get("targets", "j1")).rejects.toMatchObject({ code: "notFound" });
    expect(await judge.complaints(begun, { sessions: [] }, 1)).toEqual([]);
    expect(await fleet.client.get("targets", "j1")).toMatchObject({ name: "j1" });
  });
});

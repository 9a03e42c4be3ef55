import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { Operator } from "../support/operator.js";

let op: Operator;
beforeAll(async () => {
  op = await Operator.start({ machines: [{ name: "w1", firmware: "uefi", faults: { noUriBoot: true } }] });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: look
image: noise
mode: active
limits: {boot: 60s, bootAttempts: 1, lease: 60s, work: 60s, home: 2m}
tasks: [{name: look, script: "true"}]
`);
}, 240_000);
afterAll(() => op?.close(), 60_000);
beforeEach(() => onTestFailed(() => console.log(op.story)));

test("a machine whose firmware does not boot from a URI is booted by pxe instead, and comes home as it was", {
  timeout: 180_000,
}, async () => {
  expect(op.target("w1").boot.via).toEqual(["uefi-http", "pxe"]);
  const before = await op.home("w1");
  const said = await op.run("run", "w1", "-a", "look", "--wait");
  expect(said).toMatchObject({ exit: 0, err: "" });
  const record = JSON.parse((await op.run("session", "show", "w1", "--json")).out) as SessionRecord;
  expect(record).toMatchObject({
    outcome: "succeeded",
    ending: "restored",
    diagnoses: [{ via: "uefi-http", homeAnswering: true }],
    contacts: [{ epoch: 2 }],
    restore: { differences: [], added: [] },
    home: { proved: true, strength: "strong" },
  });
  expect(record.notes).toContain("uefi-http made no contact; trying pxe.");
  expect((await op.home("w1")).machineId).toBe(before.machineId);
});

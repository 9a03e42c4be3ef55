import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { type Home, Operator, until } from "../support/operator.js";

/** How long the work in the image takes: longer than a server needs to die and to come back. */
const WORK_S = 20;

let op: Operator;
beforeAll(async () => {
  op = await Operator.start({
    machines: [{ name: "serve-dies" }, { name: "temporal-dies" }, { name: "both-die" }, { name: "both-die-passive" }],
  });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: long
image: noise
mode: active
tasks:
  - {name: count, script: "for i in $(seq ${WORK_S}); do echo second $i; sleep 1; done; echo '{\\"seconds\\": ${WORK_S}}'"}
  - {name: after, script: "echo the next task"}
---
kind: Action
name: long-passive
image: noise
mode: passive
tasks: [{name: count, script: "sleep ${WORK_S}; echo '{\\"seconds\\": ${WORK_S}}'"}]
`);
}, 240_000);
afterAll(() => op?.close(), 60_000);

test("kill -9 of serve while the target works: started again, the session goes on and the target is home", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("serve-dies");
  const waiting = op.run("run", "serve-dies", "-a", "long", "--wait");
  const { session } = await op.untilPhase("serve-dies", "working");
  await op.serve?.end("SIGKILL");
  // Long enough for the person who waits to be told, and for the agent's poll to fail.
  await sleep(4_000);
  await op.startServe();

  const said = await waiting;
  expect(said).toMatchObject({ exit: 0, err: "" });
  expect(said.out).toContain("the server does not answer; waiting for it\n");
  expect(said.out).toContain("the server answers again\n");
  expect(said.out).toMatch(/long on serve-dies: succeeded; the target is home \(proved\) after .*\n$/);
  await expectDone("serve-dies", before, session);
});

test("kill -9 of the Temporal server while the target works: serve starts it again and the session goes on", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("temporal-dies");
  const waiting = op.run("run", "temporal-dies", "-a", "long", "--wait");
  const { session } = await op.untilPhase("temporal-dies", "working");
  const pid = op.temporalPid();
  process.kill(pid, "SIGKILL");
  await until("another Temporal server runs", async () => (op.temporalPid() !== pid ? true : null), 30_000);

  expect(await waiting).toMatchObject({ exit: 0, err: "" });
  expect(op.serve?.isOver).toBe(false);
  await expectDone("temporal-dies", before, session);
});

test("kill -9 of both, and a cold start: each session goes on and its target is home", {
  timeout: 300_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const targets = { "both-die": "long", "both-die-passive": "long-passive" };
  const before = new Map<string, Home>();
  const sessions = new Map<string, string>();
  for (const [target, action] of Object.entries(targets)) {
    before.set(target, await op.home(target));
    expect(await op.run("run", target, "-a", action)).toMatchObject({ exit: 0, err: "" });
    sessions.set(target, (await op.untilPhase(target, "working")).session);
  }
  const pid = op.temporalPid();
  await op.serve?.end("SIGKILL");
  process.kill(pid, "SIGKILL");
  await sleep(2_000);
  await op.startServe();
  expect(op.temporalPid()).not.toBe(pid);
  for (const target of Object.keys(targets)) {
    await op.untilEnded(target, 180_000);
    await expectDone(target, before.get(target) as Home, sessions.get(target) as string);
  }
});

/** One session, one record; done; home, with one boot of the image and one of its own system; nothing unexplained. */
async function expectDone(target: string, before: Home, session: string): Promise<void> {
  const record = (await op.record(target)) as SessionRecord;
  expect(record).toMatchObject({
    session,
    outcome: "succeeded",
    ending: "restored",
    failure: null,
    restore: { differences: [] },
    home: { proved: true, strength: "strong" },
    findings: { count: { seconds: WORK_S } },
  });
  const list = JSON.parse((await op.run("get", "sessions", "--target", target, "-o", "json")).out) as SessionRecord[];
  expect(list.map((item) => item.session)).toEqual([session]);
  // A task that had begun is not begun again by a server that came back.
  expect(record.contacts).toHaveLength(1);
  expect(record.tasks.every(({ status }) => status === "succeeded")).toBe(true);

  const after = await op.home(target);
  expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(op.bmc(target)).toMatchObject({ override: { enabled: "Disabled" }, medium: null, wasOn: true });
  const resets = op.writes(target).filter((line) => line.includes("ComputerSystem.Reset"));
  expect(record.powerActions.map(({ what, why }) => [what, why])).toEqual([
    ["GracefulShutdown", "boot noise"],
    ["On", "boot noise"],
    ["On", "go home"],
  ]);
  expect(resets).toHaveLength(record.powerActions.length);
  expect(op.seen(target).filter((line) => line.startsWith("power start"))).toEqual([
    "power start disk (PowerRestorePolicy LastState)",
    "power start pxe (Reset On)",
    "power start disk (Reset On)",
  ]);
}

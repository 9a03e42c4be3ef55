import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Connection } from "@temporalio/client";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { type Home, Operator, until } from "../support/operator.js";

/** Sessions that were lost with their targets away: what Temporal does not know any more, the operations server brings home. */
let op: Operator;
const MACHINES = ["terminated", "second-session", "database-gone", "all-gone-1", "all-gone-2", "no-journal"];
beforeAll(async () => {
  op = await Operator.start({ machines: MACHINES.map((name) => ({ name })) });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: long
image: noise
mode: active
limits: {lease: 60s}
tasks: [{name: count, script: "sleep 600"}]
---
kind: Action
name: short
image: noise
mode: active
tasks: [{name: look, script: "echo '{}'"}]
`);
}, 240_000);
afterAll(() => op?.close(), 60_000);

test("a session that was terminated in the image: the target comes home, and the record says that it was lost", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("terminated");
  const lost = await away("terminated");
  await terminate("terminated");
  await expectRepaired("terminated", lost, before, /was ended from outside \(terminated\)|was lost/);
});

test("another session on a target that a lost one left away brings it home before it does anything else", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("second-session");
  const lost = await away("second-session");
  await terminate("second-session");
  const said = await op.run("run", "second-session", "-a", "short", "--wait");
  // Whoever is first, the reconciler or the person: the target is home, and nothing was done on it in between.
  expect(said.out + said.err).toMatch(/is home|is busy/);
  await expectRepaired("second-session", lost, before, /was lost/);
  expect(await op.run("run", "second-session", "-a", "short", "--wait")).toMatchObject({ exit: 0 });
});

test("a lost journal and a terminated session: the catalogue's snapshot brings the target home", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("no-journal");
  const lost = await away("no-journal");
  await op.serve?.end("SIGKILL");
  rmSync(join(op.data, "site", "journal"), { recursive: true });
  await terminate("no-journal");
  await op.startServe();
  await expectRepaired("no-journal", lost, before, /was lost/);
});

test("the Temporal server's database is deleted under a server that goes on: targets home, sessions told as lost", {
  timeout: 300_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("database-gone");
  const lost = await away("database-gone");
  deleteDatabase();
  await expectRepaired("database-gone", lost, before, /was lost/);
  expect(await op.run("run", "database-gone", "-a", "short", "--wait")).toMatchObject({ exit: 0 });
});

test("everything is killed and the database is gone at the cold start: targets home, sessions told as lost", {
  timeout: 300_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const targets = ["all-gone-1", "all-gone-2"];
  const before = new Map<string, Home>();
  const lost = new Map<string, string>();
  for (const target of targets) {
    before.set(target, await op.home(target));
    lost.set(target, await away(target));
  }
  await op.serve?.end("SIGKILL");
  deleteDatabase();
  await op.startServe();
  for (const target of targets) {
    await expectRepaired(target, lost.get(target) as string, before.get(target) as Home, /was lost/);
  }
});

/** Starts a long session and waits until it works in the image. */
async function away(target: string): Promise<string> {
  expect(await op.run("run", target, "-a", "long")).toMatchObject({ exit: 0, err: "" });
  return (await op.untilPhase(target, "working")).session;
}

async function terminate(target: string): Promise<void> {
  const { port } = JSON.parse(readFileSync(join(op.data, "temporal", "server.json"), "utf8")) as { port: number };
  const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
  await new Client({ connection }).workflow.getHandle(`maintenance/${target}`).terminate("a test");
  await connection.close();
}

function deleteDatabase(): void {
  process.kill(op.temporalPid(), "SIGKILL");
  const folder = join(op.data, "temporal");
  for (const name of readdirSync(folder)) if (name.startsWith("temporal.db")) rmSync(join(folder, name));
}

async function expectRepaired(target: string, session: string, before: Home, how: RegExp): Promise<void> {
  const record = await until(
    `the lost session of ${target} is told as ended`,
    async () => {
      const found = (await op.rest(`/api/v1/sessions/${session}`).catch(() => null)) ?? null;
      const body = found?.ok ? ((await found.json()) as SessionRecord) : null;
      return body?.endedAt ? body : null;
    },
    200_000,
  );
  expect(record).toMatchObject({ session, outcome: "failed", ending: "restored", failure: { code: "lost" } });
  expect(record.failure?.message).toMatch(how);
  const after = await op.home(target);
  expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(op.bmc(target)).toMatchObject({ override: { enabled: "Disabled" }, medium: null, wasOn: true });
  // The session that brought it home has ended as well, with a proof of its own, and nothing is left open anywhere.
  await op.untilEnded(target);
  const list = JSON.parse((await op.run("get", "sessions", "--target", target, "-o", "json")).out) as SessionRecord[];
  expect(list.every(({ endedAt, ending }) => endedAt !== null && ending === "restored")).toBe(true);
  const by = list.find((one) => record.failure?.message.includes(one.session));
  const restore = (await (await op.rest(`/api/v1/sessions/${by?.session}`)).json()) as SessionRecord;
  expect(restore).toMatchObject({ ending: "restored", restore: { differences: [] }, home: { proved: true } });
  await sleep(200);
  expect(existsSync(join(op.data, "site", "journal", `${target}.json`))).toBe(false);
}

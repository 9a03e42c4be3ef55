import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { killDatabase } from "../support/database.js";
import { expectRepaired, terminate } from "../support/lost-session.js";
import { type Home, Operator, until } from "../support/operator.js";

/** Sessions that were lost with their targets away: what Temporal does not know any more, the operations server brings home. */
let op: Operator;
const MACHINES = [
  "terminated",
  "second-session",
  "database-gone",
  "all-gone-1",
  "all-gone-2",
  "no-journal",
  "no-catalogue",
];
/**
 * The second change of Boot is the one that disarms. A refused request is sent once more with a fresh login, and both again after a
 * minute; then a person is called.
 */
const REFUSED_ON_THE_WAY_HOME = {
  fault: "status" as const,
  status: 401,
  match: { method: "PATCH" as const, path: "Systems/1" },
  after: 1,
  times: 6,
};
beforeAll(async () => {
  const refused = { name: "refused", bmcFaults: [REFUSED_ON_THE_WAY_HOME] };
  op = await Operator.start({ machines: [...MACHINES.map((name) => ({ name })), refused] });
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
name: not-by-lease
image: noise
mode: active
limits: {lease: 10m}
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
  await terminate(op, "terminated");
  await expectRepaired(op, "terminated", lost, before, /was ended from outside \(terminated\)|was lost/);
});

test("another session on a target that a lost one left away brings it home before it does anything else", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("second-session");
  const lost = await away("second-session");
  await terminate(op, "second-session");
  const said = await op.run("run", "second-session", "-a", "short", "--wait");
  // Whoever is first, the reconciler or the person: the target is home, and nothing was done on it in between.
  expect(said.out + said.err).toMatch(/is home|is busy/);
  await expectRepaired(op, "second-session", lost, before, /was lost/);
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
  await terminate(op, "no-journal");
  await op.startServe();
  await expectRepaired(op, "no-journal", lost, before, /was lost/);
});

test("the Temporal server's database is deleted under a server that goes on: targets home, sessions told as lost", {
  timeout: 300_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("database-gone");
  const lost = await away("database-gone");
  deleteDatabase();
  await expectRepaired(op, "database-gone", lost, before, /was lost/);
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
    await expectRepaired(op, target, lost.get(target) as string, before.get(target) as Home, /was lost/);
  }
});

test("a lost session whose target cannot be put back is shown as stranded with its reason; retried, it is home", {
  timeout: 360_000,
}, async () => {
  onTestFailed(() => console.log(op.story, op.seen("refused")));
  const before = await op.home("refused");
  const lost = await away("refused", "not-by-lease");
  await terminate(op, "refused");
  const { session, stranded } = await op.untilPhase("refused", "stranded", 180_000);
  expect(session).not.toBe(lost);
  expect(stranded).toMatchObject({ code: "unauthorized", message: expect.stringMatching(/^\S.*refused.*\.$/) });
  expect((await op.run("get", "sessions", "--target", "refused")).out).toMatch(/stranded/);
  expect((await op.run("session", "show", "refused")).out).toContain(stranded?.message);
  // The lost one is told as lost, and not as ended before its target is proved home.
  const told = async () => {
    const record = await op.record(lost);
    return record?.failure?.code === "lost" ? record : null;
  };
  expect(await until("it is told as lost", told, 60_000)).toMatchObject({ endedAt: null, ending: null });

  expect(await op.run("session", "retry", "refused")).toMatchObject({ exit: 0, err: "" });
  await expectRepaired(op, "refused", lost, before, /was brought home by/);
});

test("the catalogue is lost and the session terminated: by the site's journal alone the target comes home", {
  timeout: 300_000,
}, async () => {
  onTestFailed(() => console.log(op.story, op.seen("no-catalogue")));
  const before = await op.home("no-catalogue");
  const lost = await away("no-catalogue", "not-by-lease");
  await op.serve?.end("SIGKILL");
  killDatabase(op.data);
  rmSync(join(op.data, "database"), { recursive: true });
  await terminate(op, "no-catalogue");
  await op.startServe();
  // Nobody here knows of the session any more. What targets there are is said again, as at the first time.
  expect(await op.record(lost)).toBeNull();
  expect(await op.run("apply", "-f", join(op.data, "lab", "targets.yaml"))).toMatchObject({ exit: 0 });

  const restored = async () => {
    const record = await op.record("no-catalogue");
    return record?.endedAt && record.home?.proved ? record : null;
  };
  // A restore that was refused, because its target was not known yet, is started again after a minute.
  const record = await until("the target is proved home", restored, 200_000);
  expect(record).toMatchObject({ requestedBy: "the reconciler", ending: "restored", restore: { differences: [] } });
  expect(record.session).not.toBe(lost);
  expect(await op.home("no-catalogue")).toMatchObject({
    machineId: before.machineId,
    bootCount: before.bootCount + 1,
  });
  expect(op.bmc("no-catalogue")).toMatchObject({ override: { enabled: "Disabled" }, medium: null, wasOn: true });
  await until(
    "the site has forgotten the session",
    async () => (existsSync(join(op.data, "site", "journal", "no-catalogue.json")) ? null : true),
    20_000,
  );
});

/** Starts a long session and waits until it works in the image. */
async function away(target: string, action = "long"): Promise<string> {
  expect(await op.run("run", target, "-a", action)).toMatchObject({ exit: 0, err: "" });
  return (await op.untilPhase(target, "working")).session;
}

function deleteDatabase(): void {
  process.kill(op.temporalPid(), "SIGKILL");
  const folder = join(op.data, "temporal");
  for (const name of readdirSync(folder)) if (name.startsWith("temporal.db")) rmSync(join(folder, name));
}

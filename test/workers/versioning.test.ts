import { execFileSync } from "node:child_process";
import { Worker } from "@temporalio/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { findTemporal } from "../../src/temporal/binary.js";
import { makeCurrent, versioned } from "../../workers/deployment.js";
import { replayOpenSessions } from "../../workers/replay-check.js";
import { startTestTemporal, type TestTemporal, workflowBundle } from "../support/temporal.js";
import { FakeWorld } from "../workflows/fakes.js";

let temporal: TestTemporal;
const world = new FakeWorld();
const ends: (() => Promise<void>)[] = [];

/** The sessions' role of one build, until the returned function ends it. */
async function build(buildId: string): Promise<() => Promise<void>> {
  const worker = await Worker.create({
    connection: temporal.connections.native,
    taskQueue: "pitstop",
    workflowBundle: await workflowBundle(),
    activities: world.central(),
    ...versioned({ deploymentName: "pitstop", buildId }),
  });
  const run = worker.run();
  const end = async () => {
    if (worker.getState() === "RUNNING") worker.shutdown();
    await run;
  };
  ends.push(end);
  return end;
}

beforeAll(async () => {
  temporal = await startTestTemporal();
  const site = await Worker.create({
    connection: temporal.connections.native,
    taskQueue: "pitstop-site-default",
    activities: world.site(),
  });
  const run = site.run();
  ends.push(async () => {
    site.shutdown();
    await run;
  });
  const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
  world.planOverrides = { action: action && { ...action, approval: true } };
}, 120_000);
afterAll(async () => {
  for (const end of ends) await end().catch(() => undefined);
  await temporal?.stop();
}, 60_000);

const handle = (target: string) => temporal.connections.client.workflow.getHandle(`maintenance/${target}`);
const start = async (target: string) => {
  await temporal.connections.client.workflow.start("maintenanceSession", {
    workflowId: `maintenance/${target}`,
    taskQueue: "pitstop",
    args: [{ target, action: "check" }],
  });
  await until(async () => (await handle(target).query<{ phase: string }>("status")).phase === "waiting");
};
/** Untouched and home: the shortest way to an end, with several workflow tasks in it. */
const abort = (target: string) => handle(target).executeUpdate("abort", { args: [{ by: "a test" }] });

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await look().catch(() => false))) {
    if (Date.now() > deadline) throw new Error("not within 30 s");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** How many open sessions a build finds that it would go on with, all of which it understands here. */
async function ownOpenSessions(buildId: string): Promise<number> {
  const version = { deploymentName: "pitstop", buildId };
  const found = await replayOpenSessions(temporal.connections, version, undefined, await workflowBundle());
  expect(found).toMatchObject({ replayed: found.open, broken: [] });
  return found.open;
}

/** The builds whose workers have done workflow tasks of the session. */
async function builds(target: string): Promise<string[]> {
  const { events } = await handle(target).fetchHistory();
  const seen = (events ?? []).flatMap((event) => {
    const of = event.workflowTaskCompletedEventAttributes;
    return of ? [of.deploymentVersion?.buildId ?? "none"] : [];
  });
  return [...new Set(seen)];
}

test("a session ends on the build that it began on; without that build it stands still until it is back or moved", {
  timeout: 180_000,
}, async () => {
  let endOld = await build("v1");
  await makeCurrent(temporal.connections, { deploymentName: "pitstop", buildId: "v1" });
  for (const target of ["kept", "back", "moved"]) await start(target);
  await build("v2");
  await makeCurrent(temporal.connections, { deploymentName: "pitstop", buildId: "v2" });
  await start("new");
  expect([await ownOpenSessions("v1"), await ownOpenSessions("v2")]).toEqual([3, 1]);

  await abort("kept");
  await abort("new");
  expect(await handle("kept").result()).toMatchObject({ ending: "restored" });
  expect(await handle("new").result()).toMatchObject({ ending: "restored" });
  expect([await builds("kept"), await builds("new")]).toEqual([["v1"], ["v2"]]);

  await endOld();
  expect([await ownOpenSessions("v1"), await ownOpenSessions("v2")]).toEqual([2, 0]);
  // The old build is gone: told by a signal, because nobody is there to answer an update.
  await handle("back").cancel();
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect((await handle("back").describe()).status.name).toBe("RUNNING");

  // The command of docs/upgrading.md.
  const move = ["workflow", "update-options", "--workflow-id", "maintenance/moved"];
  const to = ["--versioning-override-deployment-name", "pitstop", "--versioning-override-build-id", "v2"];
  const where = ["--address", temporal.server.address];
  const program = await findTemporal(cacheFolder(), () => undefined);
  execFileSync(program, [...move, "--versioning-override-behavior", "pinned", ...to, ...where]);
  expect([await ownOpenSessions("v1"), await ownOpenSessions("v2")]).toEqual([1, 1]);
  await handle("moved").cancel();
  expect(await handle("moved").result()).toMatchObject({ ending: "restored" });
  expect(await builds("moved")).toEqual(["v1", "v2"]);

  endOld = await build("v1");
  expect(await handle("back").result()).toMatchObject({ ending: "restored" });
  expect(await builds("back")).toEqual(["v1"]);
  await endOld();
});

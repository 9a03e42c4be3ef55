import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { findTemporal } from "../../src/temporal/binary.js";
import { postgresBin, startPostgres } from "../catalogue/real-postgres.js";
import { changed } from "../support/changed-workflows.js";
import { Operator, Running } from "../support/operator.js";
import { otherBuild } from "../support/other-build.js";
import { startTestTemporal, type TestTemporal } from "../support/temporal.js";

/** docs/upgrading.md, "Worker Versioning", step by step: two builds that do not understand each other's histories. */

const bin = postgresBin();
const TARGETS = ["kept", "back", "new"];
/** Some hundred times what a session needs to end once it is told to, on an idle machine; far less than its limits. */
const STANDS_STILL_MS = 5_000;
let op: Operator;
let temporal: TestTemporal;
let database: Awaited<ReturnType<typeof startPostgres>>;
let next: ReturnType<typeof otherBuild>;
let v1: string;
const kept: Running[] = [];

beforeAll(async () => {
  if (bin === null) return;
  execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
  next = otherBuild((code) => changed(code, "await SLEEP(10);"));
  [database, temporal] = await Promise.all([startPostgres(bin), startTestTemporal()]);
  op = await Operator.start({ machines: TARGETS.map((name) => ({ name })) }, "127.0.0.1", {
    ...{ DATABASE_URL: database.url, TEMPORAL_ADDRESS: temporal.server.address },
    ...{ PITSTOP_DEPLOYMENT: "pitstop", PITSTOP_BUILD_ID: "v1" },
  });
  v1 = op.program;
  await op.addImage("noise");
  await op.apply("{kind: Action, name: until-told, image: noise, mode: active, interactive: true}");
}, 240_000);
afterAll(async () => {
  for (const old of kept) await old.end("SIGTERM");
  await op?.close();
  await temporal?.stop();
  await database?.stop();
  next?.remove();
}, 60_000);

/** `pitstop serve --roles sessions` of the old version, with its own id. */
async function keepOld(): Promise<Running> {
  const old = new Running("old", ["serve", "--roles", "sessions"], op.env, op.dir, v1);
  kept.push(old);
  await old.until(/^Temporal {6}/m, 120_000);
  return old;
}

async function away(target: string): Promise<string> {
  expect(await op.run("run", target, "-a", "until-told")).toMatchObject({ exit: 0, err: "" });
  return (await op.untilPhase(target, "working")).session;
}

/** Tells an interactive session that there is no more to do. */
async function tellLast(target: string): Promise<void> {
  op.write("last.yaml", "name: last\nscript: echo last\n");
  expect(await op.run("session", "supply", target, "-f", "last.yaml", "--last")).toMatchObject({ exit: 0, err: "" });
}

/** The builds that have decided something for a target's newest session. */
async function builds(target: string): Promise<string[]> {
  const { events } = await temporal.connections.client.workflow.getHandle(`maintenance/${target}`).fetchHistory();
  const seen = (events ?? []).flatMap(({ workflowTaskCompletedEventAttributes: task }) =>
    task ? [task.deploymentVersion?.buildId ?? "none"] : [],
  );
  return [...new Set(seen)];
}

/** What the page's command lists: sessions that the old build still has to end. */
async function leftOnV1(): Promise<string> {
  const query = "ExecutionStatus='Running' AND TemporalWorkerDeploymentVersion='pitstop:v1'";
  const program = await findTemporal(cacheFolder(), () => undefined);
  return execFileSync(program, ["workflow", "list", "--query", query, "--address", temporal.server.address]).toString();
}

const baseImage = async () => (await op.run("get", "images", "pitstop-base", "-o", "yaml")).out;

test.skipIf(bin === null)(
  "sessions end on the old build that is kept, and begin on the new one",
  {
    timeout: 300_000,
  },
  async () => {
    onTestFailed(() => console.log(op.story, ...kept.map(({ said }) => said)));
    const old = { kept: await away("kept"), back: await away("back") };

    // Without versions there is no way on: the new build does not understand what the old one wrote.
    await op.serve?.end("SIGTERM");
    op.program = next.program;
    const alone = { PITSTOP_DEPLOYMENT: "", PITSTOP_BUILD_ID: "" };
    const looked = await op.type(["doctor"], "", alone);
    expect(looked.out).toMatch(/^bad +open sessions: This version cannot go on with 2 of 2 open sessions/m);
    const refused = await op.type(["serve"], "", alone);
    expect(refused).toMatchObject({ exit: 2, err: expect.stringContaining("Nondeterminism error") });

    const first = await keepOld();
    op.env.PITSTOP_BUILD_ID = "v2";
    await op.startServe();
    expect((await leftOnV1()).match(/maintenance\/\w+/g)?.sort()).toEqual(["maintenance/back", "maintenance/kept"]);
    await away("new");
    await tellLast("kept");
    await tellLast("new");
    expect(await op.untilEnded("kept")).toMatchObject({
      ...{ session: old.kept, outcome: "succeeded", ending: "restored" },
    });
    expect(await op.untilEnded("new")).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect([await builds("kept"), await builds("new")]).toEqual([["v1"], ["v2"]]);

    // The new build alone neither takes the session over nor loses it.
    await first.end("SIGTERM");
    await temporal.connections.client.workflow.getHandle("maintenance/back").cancel();
    await sleep(STANDS_STILL_MS);
    expect(await op.record("back")).toMatchObject({ session: old.back, endedAt: null });
    expect(await builds("back")).toEqual(["v1"]);

    // What is built into the old version is not put over the new one's when it comes back.
    await op.apply((await baseImage()).replace("labels: {}", "labels: {of: the-new-version}"));
    op.env.PITSTOP_BUILD_ID = "v1";
    await keepOld();
    expect(await baseImage()).toContain("the-new-version");
    expect(await op.untilEnded("back")).toMatchObject({ session: old.back, ending: "restored" });
    expect(await builds("back")).toEqual(["v1"]);
    expect(await leftOnV1()).not.toContain("maintenance/");
    for (const target of TARGETS) await op.home(target);
  },
);

// Pitstop's own share of a session, in one run: figures and ratios, never a verdict.
import { statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, Connection } from "@temporalio/client";
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import { root } from "../setup.mjs";
import { cpuSeconds, openHandles, percentile, residentMiB } from "./measure.mjs";
import { runSessions, startOperations } from "./operations.mjs";

const { prepareBaseImage } = await import(join(root, "dist/workers/prepare.js"));

/** Concurrent sessions of each round, and how often it is repeated. */
const ROUNDS = [
  { atOnce: 1, times: 10 },
  { atOnce: 20, times: 3 },
  { atOnce: 100, times: 1 },
];
const MACHINES = Math.max(...ROUNDS.map((round) => round.atOnce));

export async function bench({ qemu }) {
  const rows = [];
  const row = (what, value, unit, note = "") => {
    rows.push({ what, value, unit, note });
    console.log(`${what.padEnd(58)} ${format(value).padStart(10)} ${unit.padEnd(12)} ${note}`);
  };
  console.log(`${cpus().length} processors (${cpus()[0]?.model.trim()}), Node.js ${process.versions.node}\n`);
  const names = Array.from({ length: MACHINES }, (_, i) => `bench-${String(i + 1).padStart(3, "0")}`);
  const operations = await startOperations(names.map((name) => ({ name, kind: "process" })));
  try {
    // Not counted: the first session pays for caches and compilers.
    await runSessions(operations, names.slice(0, 1));
    for (const round of ROUNDS) await measureRound(operations, names, round, row);
    await againstBare(operations, names, row);
    row("memory of the operations server (RSS)", residentMiB(operations.pids.server), "MiB");
    row("memory of the Temporal dev server (RSS)", residentMiB(operations.pids.temporal), "MiB");
    row("open file handles of the operations server", openHandles(operations.pids.server), "");
  } finally {
    await operations.close();
  }
  const image = await prepareBaseImage((line) => console.log(line));
  const bytes = statSync(image.kernel).size + statSync(image.initrd).size;
  row("base image, kernel and initrd", bytes / 1e6, "MB");
  if (qemu) await firstContact(row);
  else console.log("without QEMU: kernel start to first contact was not measured");
  return rows;
}

async function measureRound(operations, names, { atOnce, times }, row) {
  const { pids } = operations;
  const cpuBefore = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuSeconds(pid)]));
  const records = [];
  let wallMs = 0;
  for (let i = 0; i < times; i++) {
    const done = await runSessions(operations, names.slice(0, atOnce));
    records.push(...done.records);
    wallMs += done.wallMs;
  }
  const bad = records.filter((record) => record.outcome !== "succeeded" || record.ending !== "restored");
  const at = `${atOnce} at once`;
  const overheads = records.map((record) => record.overheadMs / 1000);
  row(
    `overhead of a session, ${at}: p50`,
    percentile(overheads, 0.5),
    "s",
    `${records.length} sessions, ${bad.length} not well`,
  );
  row(`overhead of a session, ${at}: p95`, percentile(overheads, 0.95), "s");
  row(`sessions, ${at}`, records.length / (wallMs / 1000), "per second", "lab and agents on the same processors");
  for (const [name, pid] of Object.entries(pids)) {
    const spent = cpuSeconds(pid) - cpuBefore[name];
    row(`processor time of a session, ${at}: ${name}`, spent / records.length, "s");
  }
  if (atOnce === 1) {
    const requests = records.map((record) => record.bmcRequests.total - record.bmcRequests.powerPolls);
    row("BMC requests of a session, power polls apart", percentile(requests, 0.5), "");
    row(
      "BMC power polls of a session",
      percentile(
        records.map((r) => r.bmcRequests.powerPolls),
        0.5,
      ),
      "",
    );
  }
}

/** The same server runs workflows with as many activities as a session has, and nothing in them. */
async function againstBare(operations, names, row) {
  Runtime.install({ logger: new DefaultLogger("ERROR") });
  const address = operations.temporalAddress;
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const native = await NativeConnection.connect({ address });
  const quiet = new DefaultLogger("ERROR");
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL("./bare-workflow.mjs", import.meta.url)),
    logger: quiet,
  });
  const worker = await Worker.create({
    connection: native,
    taskQueue: "bench-bare",
    workflowBundle,
    activities: { nothing: async () => undefined },
    maxConcurrentActivityTaskExecutions: 2000,
  });
  const running = worker.run();
  try {
    const counts = await countActivities(client, names[0], row);
    const bareAtOnce = async (count, run) => {
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: count }, (_, i) =>
          client.workflow.execute("bare", { workflowId: `bench-${run}-${i}`, taskQueue: "bench-bare", args: [counts] }),
        ),
      );
      return count / ((performance.now() - startedAt) / 1000);
    };
    await bareAtOnce(5, "warm");
    // In pairs, so that a machine whose speed drifts does not favour one side.
    const ratios = [];
    for (let pair = 1; pair <= 2; pair++) {
      const bare = await bareAtOnce(100, pair);
      const { records, wallMs } = await runSessions(operations, names);
      const ours = records.length / (wallMs / 1000);
      row(
        `pair ${pair}: bare workflows, 100 at once`,
        bare,
        "per second",
        `${counts.local} local, ${counts.remote} remote activities`,
      );
      row(`pair ${pair}: sessions, 100 at once`, ours, "per second");
      ratios.push(ours / bare);
    }
    row(
      "sessions against bare workflows",
      percentile(ratios, 0.5) * 100,
      "%",
      "lab, agents and machines on the same processors",
    );
  } finally {
    worker.shutdown();
    await running;
    await native.close();
    await connection.close();
  }
}

async function countActivities(client, target, row) {
  const handle = client.workflow.getHandle(`maintenance/${target}`);
  const history = await handle.fetchHistory();
  const events = history.events ?? [];
  const local = events.filter(
    (event) => event.markerRecordedEventAttributes?.markerName === "core_local_activity",
  ).length;
  const remote = events.filter((event) => event.activityTaskScheduledEventAttributes).length;
  row("history events of a session", events.length, "", `${local} local, ${remote} remote activities`);
  return { local, remote };
}

/** A real kernel under QEMU: from its start to the agent's hello, by its own clock. */
async function firstContact(row) {
  const operations = await startOperations([{ name: "bench-qemu", kind: "qemu", firmware: "bios" }], { guest: true });
  try {
    const { machine } = operations.lab.target("bench-qemu");
    for (let tries = 0; ; tries++) {
      const answer = await fetch(machine.homeUrl, { signal: AbortSignal.timeout(2000) }).catch(() => null);
      if (answer?.ok) break;
      if (tries > 600) throw new Error("the lab machine's own system did not start");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const { records } = await runSessions(operations, ["bench-qemu"], "inventory");
    const [record] = records;
    row(
      "QEMU (software emulation): kernel start to first contact",
      record.contacts[0]?.uptimeSeconds ?? Number.NaN,
      "s",
    );
    row("QEMU: overhead of an inventory session", record.overheadMs / 1000, "s", `${record.outcome}, ${record.ending}`);
  } finally {
    await operations.close();
  }
}

const format = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

export async function main(argv, has) {
  const at = argv.indexOf("--json");
  const rows = await bench(has);
  if (at >= 0) writeFileSync(argv[at + 1], `${JSON.stringify({ at: new Date().toISOString(), rows }, null, 2)}\n`);
}

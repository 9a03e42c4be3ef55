// A server as its own process, a lab of process machines in this one, and sessions on them.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../setup.mjs";

const dist = join(root, "dist");
const { PitstopClient } = await import(join(dist, "src/api/client.js"));
const { loadConfig } = await import(join(dist, "src/config.js"));
const { freePort } = await import(join(dist, "src/free-port.js"));
const { openLab } = await import(join(dist, "workers/lab.js"));

/** As docker/Dockerfile and docs/running.md start the server. */
const HEAP_LIMIT = "--max-old-space-size=512";

/** `guest`: the targets are QEMU's, which see this host as 10.0.2.2. */
export async function startOperations(machines, { guest = false } = {}) {
  const data = mkdtempSync(join(tmpdir(), "pitstop-bench-"));
  const [api, site, tls] = [await freePort(), await freePort(), await freePort()];
  const env = {
    ...process.env,
    PITSTOP_DATA: data,
    PITSTOP_LISTEN: `127.0.0.1:${api}`,
    PITSTOP_SITE_LISTEN: `127.0.0.1:${site}`,
    PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
    PITSTOP_SITE_URL: `http://${guest ? "10.0.2.2" : "127.0.0.1"}:${site}`,
    PITSTOP_SITE_TLS_URL: `https://${guest ? "10.0.2.2" : "127.0.0.1"}:${tls}`,
    PITSTOP_LOG_LEVEL: "error",
  };
  const server = spawn(process.execPath, [HEAP_LIMIT, join(root, "bin/pitstop.js"), "serve"], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const url = env.PITSTOP_LISTEN;
  await until(async () => (await fetch(`http://${url}/readyz`).catch(() => null))?.ok, 180_000);
  const token = readFileSync(join(data, "token"), "utf8").trim();
  const client = new PitstopClient({ url: `http://${url}`, token });
  const lab = await openLab(loadConfig(env), { machines }, `http://127.0.0.1:${site}`);
  await registerBenchAction(client, data);
  await client.applyYaml(lab.targetYaml(), "the lab's targets");
  const temporal = JSON.parse(readFileSync(join(data, "temporal/server.json"), "utf8"));
  return {
    client,
    lab,
    pids: { server: server.pid, temporal: temporal.pid, lab: process.pid },
    temporalAddress: `127.0.0.1:${temporal.port}`,
    async close() {
      await lab.close();
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** An image of a few kilobytes and a task that takes no time: what is left of a session is Pitstop and the lab. */
async function registerBenchAction(client, data) {
  const folder = join(data, "images", "bench");
  mkdirSync(folder, { recursive: true });
  const file = (name, bytes) => {
    writeFileSync(join(folder, name), bytes);
    return `{url: "file:images/bench/${name}", sha256: "${createHash("sha256").update(bytes).digest("hex")}"}`;
  };
  await client.applyYaml(
    `kind: Image
name: bench
role: maintenance
arch: x86_64
kernel: ${file("kernel", randomBytes(5000))}
initrds: [${file("initrd", randomBytes(7000))}]
---
kind: Action
name: bench
image: bench
mode: active
tasks: [{name: look, script: "echo '{}'"}]
`,
    "the bench's image and action",
  );
}

/** Runs one session on each target at once; the records, and the wall time of all in milliseconds. */
export async function runSessions({ client }, targets, action = "bench") {
  const startedAt = performance.now();
  const { started, refused } = await client.start({ targets, action, params: {}, requestedBy: "bench" });
  if (refused.length > 0) throw new Error(refused[0].problem.detail);
  const waiting = new Set(started.map(({ session }) => session));
  const records = [];
  const patience = performance.now() + 10 * 60_000;
  while (waiting.size > 0) {
    await new Promise((resolve) => setTimeout(resolve, targets.length > 1 ? 250 : 20));
    const open = new Set((await client.sessions({ open: true, limit: 500 })).items.map(({ session }) => session));
    for (const session of waiting) {
      if (open.has(session)) continue;
      const record = await client.session(session).catch(() => null);
      if (record?.endedAt == null && record?.ending !== "stranded") continue;
      records.push(record);
      waiting.delete(session);
    }
    if (performance.now() > patience) throw new Error(`${waiting.size} sessions did not end within ten minutes`);
  }
  return { records, wallMs: performance.now() - startedAt };
}

export async function until(condition, withinMs) {
  const deadline = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

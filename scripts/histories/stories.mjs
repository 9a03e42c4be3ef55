import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import proto from "@temporalio/proto";
import { root } from "../setup.mjs";

const built = (path) => import(join(root, "dist", path));
const STEP_MS = 120_000;

/** In the form that `History.fromObject` reads back: names for enumerations, base64 for bytes. */
const asObject = (history) =>
  proto.temporal.api.history.v1.History.toObject(history, { longs: String, enums: String, bytes: String });

/** Plays every story on machines of its own, and returns the history of each by its name. */
export async function recordStories(data) {
  const { loadConfig } = await built("src/config.js");
  const { startServer } = await built("workers/serve.js");
  const { openLab } = await built("workers/lab.js");
  const { freePort } = await built("src/free-port.js");
  const { PitstopClient } = await built("src/api/client.js");
  const { connectTemporal } = await built("src/temporal/connect.js");
  const [plain, tls] = [await freePort(), await freePort()];
  const config = loadConfig(
    {
      PITSTOP_DATA: data,
      PITSTOP_LISTEN: "127.0.0.1:0",
      PITSTOP_SITE_LISTEN: `127.0.0.1:${plain}`,
      PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
      PITSTOP_SITE_URL: `http://127.0.0.1:${plain}`,
      PITSTOP_SITE_TLS_URL: `https://127.0.0.1:${tls}`,
      PITSTOP_LOG_LEVEL: "error",
    },
    data,
  );
  const server = await startServer(config, (line) => console.log(line));
  const temporal = await connectTemporal(server.temporal);
  const names = Object.keys(STORIES);
  const machines = [...names, "campaign-2", "campaign-3"].map((name) => ({ name }));
  const lab = await openLab(config, { machines }, `http://127.0.0.1:${plain}`);
  try {
    const api = new PitstopClient({ url: server.api, token: server.token });
    await api.applyYaml(lab.targetYaml(), "the lab's targets");
    await api.applyYaml(documents(data), "the stories' documents");
    for (const { name, machine } of lab.targets) await homeOf(name, machine);
    const found = new Map();
    for (const name of names) {
      const teller = new Teller({ name, api, lab: lab.target(name), workflows: temporal.client.workflow });
      await STORIES[name](teller);
      for (const [as, handle] of teller.told) found.set(as, asObject(await handle.fetchHistory()));
    }
    return found;
  } finally {
    await lab.close();
    await temporal.close();
    await server.close();
  }
}

const STORIES = {
  active: async (tell) => await tell.ended(await tell.start("look")),
  passive: async (tell) => await tell.ended(await tell.start("look-passively")),
  reboot: async (tell) => await tell.ended(await tell.start("reboot-only")),
  approved: async (tell) => {
    const session = await tell.start("look-approved");
    await tell.until("waiting");
    await tell.api.approve(session, { by: "ada" });
    await tell.ended(session);
  },
  supplied: async (tell) => {
    const session = await tell.start("supplied");
    await tell.until("working");
    await tell.api.supply(session, { by: "ada", task: { name: "more", script: "echo more\n" }, last: true });
    await tell.ended(session);
  },
  abort: async (tell) => {
    const session = await tell.start("long");
    await tell.until("working");
    await tell.api.abort(session, { by: "ada", reason: "the story wants it" });
    await tell.ended(session);
  },
  stranded: async (tell) => {
    const session = await tell.start("long");
    await tell.until("working");
    const repair = tell.lab.bmc.faults.inject({ fault: "status", status: 401 });
    await tell.api.abort(session, { by: "ada" });
    await tell.until("stranded");
    repair();
    await tell.api.retry(session, { by: "ada" });
    await tell.ended(session);
  },
  released: async (tell) => {
    const session = await tell.start("long");
    await tell.until("working");
    const repair = tell.lab.bmc.faults.inject({ fault: "status", status: 401 });
    await tell.api.abort(session, { by: "ada" });
    await tell.until("stranded");
    await tell.api.release(session, { by: "ada", reason: "the story wants it" });
    repair();
    await tell.ended(session);
  },
  resume: async (tell) => {
    const session = await tell.start("resumed");
    await tell.until("working");
    // By itself: a machine that loses its power and has it again.
    await tell.lab.machine.kill();
    tell.lab.machine.emit("reset");
    await tell.ended(session);
  },
  "restore-only": async (tell) => {
    await tell.start("long");
    await tell.until("working");
    await tell.handle().terminate("the story wants it");
    await tell.ended(await tell.restoreOnly());
  },
  campaign: async (tell) => {
    const { id } = await tell.api.startCampaign({
      targets: ["campaign", "campaign-2", "campaign-3"],
      action: "look",
      atOnce: 2,
    });
    await waitFor("the campaign's end", async () => !(await tell.api.campaign(id)).running);
    tell.keep("campaign", tell.workflows.getHandle(id));
  },
};

/** What a story says and sees of its one machine. */
class Teller {
  told = new Map();

  constructor({ name, api, lab, workflows }) {
    Object.assign(this, { name, api, lab, workflows });
  }

  handle(runId) {
    return this.workflows.getHandle(`maintenance/${this.name}`, runId);
  }

  keep(as, handle) {
    this.told.set(as, handle);
  }

  async start(action) {
    const { started, refused } = await this.api.start({ target: this.name, action, requestedBy: "a story" });
    if (!started[0]) throw new Error(`${this.name}: ${refused[0]?.problem.detail}`);
    return started[0].session;
  }

  /** By hand or by the reconciler, whoever comes first. */
  async restoreOnly() {
    const { started } = await this.api.start({ target: this.name, restoreOnly: true, requestedBy: "a story" });
    return started[0]?.session ?? (await this.api.session(this.name)).session;
  }

  async until(phase) {
    await waitFor(`${this.name} is ${phase}`, async () => (await this.api.session(this.name)).phase === phase);
  }

  async ended(session) {
    await waitFor(`${this.name} has ended`, async () => (await this.api.session(session)).endedAt !== null);
    const handle = this.handle(session);
    await handle.result();
    this.keep(this.name, handle);
  }
}

async function waitFor(what, look) {
  const deadline = Date.now() + STEP_MS;
  while (!(await look().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`not within ${STEP_MS / 1000} s: ${what}`);
    await sleep(100);
  }
}

async function homeOf(name, machine) {
  await waitFor(`${name} is home`, async () => (await fetch(machine.homeUrl)).ok);
}

/** An image of noise is all that a process machine wants of one. */
function documents(data) {
  const folder = join(data, "images", "noise");
  mkdirSync(folder, { recursive: true });
  const file = (name) => {
    const bytes = randomBytes(1000);
    writeFileSync(join(folder, name), bytes);
    return `{url: "file:images/noise/${name}", sha256: ${createHash("sha256").update(bytes).digest("hex")}}`;
  };
  return `
kind: Image
name: noise
role: maintenance
arch: x86_64
kernel: ${file("vmlinuz")}
initrds: [${file("initrd")}]
---
{kind: Action, name: look, image: noise, mode: active, tasks: [{name: look, script: "echo seen"}]}
---
{kind: Action, name: look-passively, image: noise, mode: passive, tasks: [{name: look, script: "echo seen"}]}
---
{kind: Action, name: look-approved, image: noise, mode: active, approval: true, tasks: [{name: look, script: "echo seen"}]}
---
{kind: Action, name: supplied, image: noise, mode: active, interactive: true}
---
{kind: Action, name: long, image: noise, mode: active, tasks: [{name: long, script: "exec sleep 600", timeout: 15m}]}
---
{kind: Action, name: resumed, image: noise, mode: active, onReboot: resume, tasks: [{name: nap, script: "sleep 5"}]}
`;
}

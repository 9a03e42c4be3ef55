import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Client, Connection } from "@temporalio/client";
import { PitstopClient } from "../../../src/api/client.js";
import { cacheFolder } from "../../../src/cache-folder.js";
import { loadConfig } from "../../../src/config.js";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import type { LabConfigInput } from "../../../src/lab/config.js";
import type { Lab } from "../../../src/lab/lab.js";
import { openLab } from "../../../workers/lab.js";
import { freePort } from "../../support/free-port.js";
import { Running, until } from "../../support/operator.js";
import type { Jump } from "./clock.js";
import { LinesByTarget } from "./lines.js";

/** A host with a load of fifteen needs this long for what a quiet one does in ten seconds. */
const READY_MS = 180_000;
/** A server that has not ended by then is killed. */
const END_MS = 60_000;

/** What the hook in the server's process is told (hook.mjs). */
export interface Orders {
  effects: OrderedEffect[];
  clockMs: number;
  cut: { id: number; share: number } | null;
  /** Until these times the disk has no room for the server's data, and the server no file handle left. */
  scarceUntilMs: { disk: number; handles: number };
}

/** What the hook says that the server met. */
export interface HookMet {
  effects: OrderedEffect[];
  /** Connections. */
  cut: number;
  jumps: Jump[];
  /** Calls that found no room, or no handle. */
  scarce: { disk: number; handles: number };
}

export interface OrderedEffect {
  id: string;
  /** Of the deed that it is, under which it is counted when it is met. */
  kind: string;
  target: string;
  point: string;
  when: "before" | "after";
  /** Met at this occurrence, or at the first after it. */
  nth: number;
  then: { throw?: true; delayMs?: number };
}

/** Real servers, as processes that can be killed, and a lab of process machines in this one. */
export class World {
  readonly dir: string;
  readonly data: string;
  readonly client: PitstopClient;
  readonly lab: Lab;
  readonly temporal: Client;
  /** What the servers said, and how often they ended without being killed: a broken promise of its own. */
  readonly trouble: string[] = [];
  /** How often whom. */
  readonly killed = { serve: 0, temporal: 0, both: 0 };
  readonly beganMs = Date.now();
  readonly labLog: LinesByTarget;
  readonly #env: NodeJS.ProcessEnv;
  readonly #connection: Connection;
  readonly #orders: Orders;
  /** Null while it is being killed and started again. */
  #serve: Running | null;
  #closing = false;
  readonly #effects: OrderedEffect[] = [];

  private constructor(parts: {
    dir: string;
    env: NodeJS.ProcessEnv;
    client: PitstopClient;
    lab: Lab;
    connection: Connection;
    serve: Running;
    orders: Orders;
  }) {
    this.dir = parts.dir;
    this.data = join(parts.dir, "data");
    this.labLog = new LinesByTarget(join(this.data, "lab", "lab.log"));
    this.#env = parts.env;
    this.client = parts.client;
    this.lab = parts.lab;
    this.#connection = parts.connection;
    this.temporal = new Client({ connection: parts.connection });
    this.#orders = parts.orders;
    this.#serve = parts.serve;
    this.#watch();
  }

  /** `documents`: the actions to play with, as YAML; the image that they name is `noise`. */
  static async start(lab: LabConfigInput, options: { documents: string; env?: NodeJS.ProcessEnv }): Promise<World> {
    const dir = mkdtempSync(join(tmpdir(), "pitstop-attack-"));
    const env = { ...(await environment(dir)), ...options.env };
    const orders: Orders = { effects: [], clockMs: 0, cut: null, scarceUntilMs: { disk: 0, handles: 0 } };
    write(join(dir, "orders.json"), orders);
    mkdirSync(join(dir, "data", "images", "attack"), { recursive: true, mode: 0o700 });
    const serve = new Running("serve", ["serve"], env, dir);
    let running: Lab | null = null;
    try {
      await serve.until(/^Boot server/m, READY_MS);
      const token = readFileSync(join(dir, "data", "token"), "utf8").trim();
      const client = new PitstopClient({ url: `http://${env.PITSTOP_LISTEN}`, token });
      running = await openLab(loadConfig(env, dir), lab, `http://${env.PITSTOP_SITE_LISTEN}`);
      await client.applyYaml(`${image(dir)}---\n${options.documents}`, "the attack's documents");
      await client.applyYaml(running.targetYaml(), "the lab's targets");
      const note = JSON.parse(readFileSync(join(dir, "data", "temporal", "server.json"), "utf8"));
      const connection = await Connection.connect({ address: `127.0.0.1:${note.port}` });
      return new World({ dir, env, client, lab: running, connection, serve, orders });
    } catch (error) {
      await running?.close();
      await serve.end("SIGTERM");
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  get pids(): { serve: number; temporal: number; lab: number } {
    return { serve: this.#serve?.child.pid ?? 0, temporal: this.#temporalPid(), lab: process.pid };
  }

  /** By the server that runs now. */
  get said(): string {
    return this.#serve?.said ?? "";
  }

  /** Changes what the hook in the server is told; it looks five times a second. */
  order(change: Partial<Orders>): void {
    Object.assign(this.#orders, change);
    write(join(this.dir, "orders.json"), this.#orders);
  }

  /** A fault at a side effect of the server, for one target. */
  addEffect(effect: Omit<OrderedEffect, "id">): void {
    const ordered = { id: String(this.#effects.length + 1), ...effect };
    this.#effects.push(ordered);
    this.order({ effects: [...this.#orders.effects, ordered] });
  }

  /** Takes the room on the server's disk, or its file handles, away for so long; from a server that is away as soon as it is back. */
  async starve(what: "disk" | "handles", ms: number): Promise<void> {
    await this.#isBack();
    this.order({ scarceUntilMs: { ...this.#orders.scarceUntilMs, [what]: Date.now() + ms } });
  }

  /** What was met until now of all that was ordered. */
  met(): HookMet {
    const file = join(this.dir, "orders.json.met");
    const met: HookMet = { effects: [], cut: 0, jumps: [], scarce: { disk: 0, handles: 0 } };
    for (const line of existsSync(file) ? readFileSync(file, "utf8").split("\n") : []) {
      const [what, first = "", second = ""] = line.split(" ");
      if (what === "effect") met.effects.push(...this.#effects.filter(({ id }) => id === first));
      else if (what === "cut") met.cut += Number(second);
      else if (what === "clock") met.jumps.push({ atMs: Number(first), skewMs: Number(second) });
      else if (what === "scarce") met.scarce[first as "disk" | "handles"] += Number(second);
    }
    return met;
  }

  /** Takes back what was ordered for a target. */
  forgive(target: string): void {
    this.order({ effects: this.#orders.effects.filter((effect) => effect.target !== target) });
  }

  /** Where agents speak to the site. */
  get siteTls(): string {
    return String(this.#env.PITSTOP_SITE_TLS_URL);
  }

  /** Cuts this share of the connections that the server has, whoever opened them; of one that is away as soon as it is back. */
  async cut(share: number): Promise<void> {
    await this.#isBack();
    this.order({ cut: { id: (this.#orders.cut?.id ?? 0) + 1, share } });
  }

  /** `kill -9`; a server that is killed is started again at once. Resolves when it serves again. */
  async kill(victim: "serve" | "temporal" | "both"): Promise<void> {
    const old = this.#serve;
    const temporal = this.#temporalPid();
    if (victim !== "serve" && temporal > 0) signal(temporal);
    if (victim === "temporal") {
      await until("another Temporal server", async () => (this.#temporalPid() !== temporal ? true : null), READY_MS);
      this.killed.temporal += 1;
      return;
    }
    this.#serve = null;
    await old?.end("SIGKILL");
    await this.#again();
    this.killed[victim] += 1;
  }

  /** What the target's newest session waits for, in Temporal's words. */
  async pending(target: string): Promise<object> {
    const { runId, status, historyLength, raw } = await this.temporal.workflow
      .getHandle(sessionWorkflowId(target))
      .describe();
    const activities = raw.pendingActivities?.map(({ activityType, attempt, state, lastFailure }) =>
      [activityType?.name, `attempt ${attempt}`, state, lastFailure?.message].join(", "),
    );
    const workflowTask = raw.pendingWorkflowTask?.attempt;
    return { run: runId, status: status.name, events: historyLength, activities, workflowTask };
  }

  /** Names of the targets that the site still remembers: none, once every session has ended. */
  journal(): string[] {
    const folder = join(this.data, "site", "journal");
    return readdirSync(folder).filter((name) => name.endsWith(".json") || name.includes(".corrupt-"));
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#connection.close().catch(() => undefined);
    await this.lab.close();
    const serve = this.#serve;
    const patience = setTimeout(() => void serve?.end("SIGKILL"), END_MS);
    await serve?.end("SIGTERM");
    clearTimeout(patience);
    if (existsSync(join(this.data, "temporal", "server.json"))) signal(this.#temporalPid());
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }

  async #again(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const since = Date.now();
      const serve = new Running("serve", ["serve"], this.#env, this.dir);
      try {
        await serve.until(/^Boot server/m, READY_MS);
        this.#serve = serve;
        this.#watch();
        return;
      } catch (error) {
        await serve.end("SIGKILL");
        // A server that finds no room or no handle at its start may refuse; it is started again, as by any supervisor.
        if (this.#wasScarce(since)) {
          await sleep(500);
          tries = 0;
          continue;
        }
        this.trouble.push(`the server did not start again: ${error instanceof Error ? error.message : error}`);
        if (tries >= 3) throw error;
      }
    }
  }

  /** A server that ends without being killed is told, and started again as any supervisor does. */
  #watch(): void {
    const serve = this.#serve;
    if (!serve) return;
    void serve.ended.then(async (code) => {
      if (this.#closing || this.#serve !== serve) return;
      this.#serve = null;
      this.trouble.push(`the server ended by itself with ${code}: ${serve.said.slice(-2000)}`);
      await this.#again().catch(() => undefined);
    });
  }

  async #isBack(): Promise<void> {
    const back = async () => (this.#serve || this.#closing ? true : null);
    await until("the server is back", back, READY_MS);
  }

  #wasScarce(sinceMs: number): boolean {
    const { disk, handles } = this.#orders.scarceUntilMs;
    return sinceMs < Math.max(disk, handles);
  }

  #temporalPid(): number {
    try {
      return JSON.parse(readFileSync(join(this.data, "temporal", "server.json"), "utf8")).pid as number;
    } catch {
      return 0;
    }
  }
}

async function environment(dir: string): Promise<NodeJS.ProcessEnv> {
  const [api, plain, tls] = [await freePort(), await freePort(), await freePort()];
  return {
    PATH: process.env.PATH,
    HOME: dir,
    PITSTOP_CACHE: cacheFolder(),
    PITSTOP_DATA: join(dir, "data"),
    PITSTOP_LISTEN: `127.0.0.1:${api}`,
    PITSTOP_SITE_LISTEN: `127.0.0.1:${plain}`,
    PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
    PITSTOP_SITE_URL: `http://127.0.0.1:${plain}`,
    PITSTOP_SITE_TLS_URL: `https://127.0.0.1:${tls}`,
    PITSTOP_LOG_LEVEL: "error",
    PITSTOP_ATTACK_ORDERS: join(dir, "orders.json"),
    NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, "hook.mjs")).href}`,
  };
}

/** An image of a few kilobytes of noise: what a process machine wants of one. */
function image(dir: string): string {
  const file = (name: string, bytes: Buffer) => {
    writeFileSync(join(dir, "data", "images", "attack", name), bytes);
    return `{url: "file:images/attack/${name}", sha256: "${createHash("sha256").update(bytes).digest("hex")}"}`;
  };
  return `kind: Image
name: noise
role: maintenance
arch: x86_64
kernel: ${file("kernel", randomBytes(5000))}
initrds: [${file("initrd", randomBytes(7000))}]
`;
}

/** Whole or not at all: the server's hook reads it at any moment. */
function write(file: string, content: object): void {
  writeFileSync(`${file}.new`, JSON.stringify(content));
  renameSync(`${file}.new`, file);
}

function signal(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch {
    // It had ended.
  }
}

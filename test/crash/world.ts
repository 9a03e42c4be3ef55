import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { stringify } from "yaml";
import { PitstopClient } from "../../src/api/client.js";
import { cacheFolder } from "../../src/cache-folder.js";
import { loadConfig } from "../../src/config.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import type { Lab } from "../../src/lab/lab.js";
import { databasePid, killDatabase } from "../support/database.js";
import { freePort } from "../support/free-port.js";
import { Running } from "../support/operator.js";
import { Deaths, HOST_SEEN_BY_GUEST } from "./emulated.js";
import { Judge } from "./judge.js";
import { Posts } from "./posts.js";

const READY_MS = 120_000;
/** Where the images' bytes come from: process machines want nothing of them but to be there. */
const NOISE_BYTES = 20_000;

/**
 * What dies: the operations server and its site (as `serve` with all its roles is one process), the Temporal server, the
 * site's process alone, the image's agent, the machine, all of these together, the operations server alone, or its database.
 */
export const VICTIMS = ["serve", "temporal", "site", "agent", "machine", "everything", "central", "database"] as const;
export type Victim = (typeof VICTIMS)[number];
export const isServer = (victim: Victim): boolean => victim !== "agent" && victim !== "machine";

/**
 * `pitstop serve --roles api,sessions`, `--roles site` and a Temporal server as processes that can be killed, and a lab in
 * this process, which is the world around them and lives on.
 */
export class World {
  readonly dir = mkdtempSync(join(tmpdir(), "pitstop-crash-"));
  readonly data = join(this.dir, "data");
  lab!: Lab;
  deaths!: Deaths;
  posts!: Posts;
  judge!: Judge;
  client!: PitstopClient;
  private env: NodeJS.ProcessEnv = {};
  private central: Running | null = null;
  private site: Running | null = null;
  private earlier = "";

  static async start(machines: LabConfigInput["machines"]): Promise<World> {
    const world = new World();
    try {
      await world.open(machines);
      return world;
    } catch (error) {
      console.error(world.story);
      await world.close();
      throw error;
    }
  }

  private async open(machines: LabConfigInput["machines"]): Promise<void> {
    // Guests reach this host's loopback by another address; who is a process has it nearer.
    const host = machines.some(({ kind }) => kind === "qemu") ? HOST_SEEN_BY_GUEST : "127.0.0.1";
    const [api, plain, tls] = [await freePort(), await freePort(), await freePort()];
    mkdirSync(this.data, { recursive: true });
    this.deaths = await Deaths.listen();
    this.posts = await Posts.listen(join(this.dir, "posts.sock"));
    const hook = pathToFileURL(resolve(import.meta.dirname, "hook.mjs")).href;
    this.env = {
      PATH: process.env.PATH,
      HOME: this.dir,
      NODE_OPTIONS: `--import ${hook}`,
      PITSTOP_TEST_POSTS: this.posts.path,
      PITSTOP_CACHE: cacheFolder(),
      PITSTOP_DATA: this.data,
      PITSTOP_LISTEN: `127.0.0.1:${api}`,
      PITSTOP_SITE_LISTEN: `127.0.0.1:${plain}`,
      PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
      PITSTOP_SITE_URL: `http://${host}:${plain}`,
      PITSTOP_SITE_TLS_URL: `https://${host}:${tls}`,
      PITSTOP_SITE_BMC_URL: `http://127.0.0.1:${plain}`,
      PITSTOP_LOG_LEVEL: "warn",
    };
    await this.startServers();
    const token = readFileSync(join(this.data, "token"), "utf8").trim();
    this.client = new PitstopClient({ url: `http://127.0.0.1:${api}`, token });
    this.judge = new Judge({ data: this.data, client: this.client });
    const { openLab } = (await import(resolve("dist/workers/lab.js"))) as typeof import("../../workers/lab.js");
    this.lab = await openLab(loadConfig(this.env, this.dir), { machines }, `http://127.0.0.1:${plain}`);
    this.posts.alive = (target) => ({
      agent: this.agentOf(target) !== null || this.deaths.has(target),
      machine: this.lab.target(target).machine.isOn(),
    });
  }

  /** Applies documents; an image gets files of noise. */
  async apply(documents: object[]): Promise<void> {
    await this.client.applyYaml(documents.map((one) => stringify(one)).join("---\n"), "the matrix's documents");
  }

  imageFile(name: string): { url: string; sha256: string } {
    const bytes = randomBytes(NOISE_BYTES);
    mkdirSync(join(this.data, "images"), { recursive: true });
    writeFileSync(join(this.data, "images", name), bytes);
    return { url: `file:images/${name}`, sha256: createHash("sha256").update(bytes).digest("hex") };
  }

  get temporal(): { pid: number; port: number } {
    return JSON.parse(readFileSync(join(this.data, "temporal", "server.json"), "utf8"));
  }

  /** Ensures that both servers run and are ready. The first start brings Temporal up. */
  async startServers(): Promise<void> {
    if (!this.central || this.central.isOver) {
      this.earlier += this.central?.said ?? "";
      this.central = new Running("serve", ["serve", "--roles", "api,sessions"], this.env, this.dir);
    }
    await this.central.until(/^Temporal {6}/m, READY_MS);
    if (!this.site || this.site.isOver) {
      this.earlier += this.site?.said ?? "";
      const env = { ...this.env, TEMPORAL_ADDRESS: `127.0.0.1:${this.temporal.port}` };
      this.site = new Running("site", ["serve", "--roles", "site"], env, this.dir);
    }
    await this.site.until(/^Boot server/m, READY_MS);
  }

  /** Those servers that `serve` starts again by itself, by process id. */
  get kept(): { temporal: number | null; database: number | null } {
    return { temporal: this.temporal.pid, database: databasePid(this.data) };
  }

  /** kill -9 of the servers that the victim means; resolves when they are gone. */
  async killServers(victim: Victim): Promise<void> {
    const all = victim === "everything";
    const ended = [];
    if (all || victim === "temporal") killNow(this.temporal.pid);
    if (all || victim === "database") killDatabase(this.data);
    if (all || victim === "serve" || victim === "central") ended.push(this.central?.end("SIGKILL"));
    if (all || victim === "serve" || victim === "site") ended.push(this.site?.end("SIGKILL"));
    await Promise.all(ended);
  }

  /** The servers that died run again. A Temporal server or a database that died alone is started again by `serve` itself. */
  async healServers(victim: Victim, before: World["kept"]): Promise<void> {
    const end = Date.now() + READY_MS;
    while ((victim === "temporal" || victim === "database") && [before[victim], null].includes(this.kept[victim])) {
      if (Date.now() > end) throw new Error(`serve did not start ${victim} again:\n${this.story}`);
      await sleep(100);
    }
    await this.startServers();
  }

  /** kill -9 of the image's agent, and of its guard where that dies too. False: no image runs there. */
  killAgent(target: string, withGuard: boolean): boolean {
    if (this.lab.target(target).machine.kind === "qemu") return this.deaths.kill(target, withGuard);
    const pid = this.agentOf(target);
    if (pid === null) return false;
    try {
      process.kill(withGuard ? -pid : pid, "SIGKILL");
      return true;
    } catch {
      return false;
    }
  }

  /** The agent's process, where one runs. */
  private agentOf(target: string): number | null {
    const root = join(this.data, "lab", "machines", target, "machine", "image");
    try {
      const pid = Number(readFileSync(join(root, "agent.pid"), "utf8"));
      // The file of an agent that has ended may name a process of somebody else by now.
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(root) ? pid : null;
    } catch {
      return null;
    }
  }

  /** The machine resets, or its power fails, without anybody having asked. False: it was off. */
  async cutMachine(target: string, how: "reset" | "off"): Promise<boolean> {
    const { machine } = this.lab.target(target);
    if (!machine.isOn()) return false;
    await machine.kill();
    machine.emit(how);
    return true;
  }

  /** What the servers said, for a test that failed. */
  get story(): string {
    return `${this.earlier}${this.central?.said ?? ""}${this.site?.said ?? ""}`;
  }

  async close(): Promise<void> {
    this.posts?.releaseAll();
    await this.lab?.close();
    this.deaths?.close();
    await Promise.all([this.site?.end("SIGTERM"), this.central?.end("SIGTERM")]);
    await this.posts?.close();
    killDatabase(this.data);
    try {
      killNow(this.temporal.pid);
    } catch {
      // It never started.
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

function killNow(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch {
    // It had ended.
  }
}

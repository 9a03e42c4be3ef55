import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAllDocuments, stringify } from "yaml";
import { cacheFolder } from "../../src/cache-folder.js";
import type { SessionRecord } from "../../src/domain/record.js";
import { Target } from "../../src/domain/target.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import { killDatabase } from "./database.js";
import { freePort } from "./free-port.js";

const root = resolve(import.meta.dirname, "../..");
const PROGRAM = join(root, "bin/pitstop.js");
/** Two busy cores start Temporal, the database and the workers within about 15 s. */
const READY_MS = 300_000;

export interface Said {
  exit: number;
  out: string;
  err: string;
}

/** What a machine of the lab says of itself through its home check. */
export interface Home {
  machineId: string;
  bootId: string;
  bootCount: number;
  userFileSha256: string;
}

/**
 * An operator's desk: `pitstop serve` and `pitstop lab` as processes of their own on a fresh state folder, and the command
 * as a process beside them. Nothing here reaches into them but through files, sockets and signals.
 */
export class Operator {
  readonly dir = mkdtempSync(join(tmpdir(), "pitstop-operator-"));
  readonly data = join(this.dir, "data");
  readonly env: NodeJS.ProcessEnv;
  readonly url: string;
  /** The program that is started next: another build of it, in a test of upgrades. */
  program = PROGRAM;
  serve: Running | null = null;
  lab: Running | null = null;

  private constructor(ports: { api: number; plain: number; tls: number }, host: string) {
    this.url = `http://127.0.0.1:${ports.api}`;
    this.env = {
      PATH: process.env.PATH,
      HOME: this.dir,
      PITSTOP_CACHE: cacheFolder(),
      PITSTOP_DATA: this.data,
      PITSTOP_LISTEN: `127.0.0.1:${ports.api}`,
      PITSTOP_SITE_LISTEN: `127.0.0.1:${ports.plain}`,
      PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${ports.tls}`,
      PITSTOP_SITE_URL: `http://${host}:${ports.plain}`,
      PITSTOP_SITE_TLS_URL: `https://${host}:${ports.tls}`,
      PITSTOP_LOG_LEVEL: "warn",
    };
  }

  /** Serve and lab run, each machine's own system answers, and its target is applied. `host`: this one, as targets see it. */
  static async start(lab: LabConfigInput, host = "127.0.0.1", settings: NodeJS.ProcessEnv = {}): Promise<Operator> {
    const [api, plain, tls] = await Promise.all([freePort(), freePort(), freePort()]);
    const operator = new Operator({ api, plain, tls }, host);
    Object.assign(operator.env, settings);
    try {
      const config = operator.write("lab.yaml", stringify(lab));
      await Promise.all([operator.startServe(), operator.startLab(config)]);
      const applied = await operator.run("apply", "-f", join(operator.data, "lab", "targets.yaml"));
      if (applied.exit !== 0) throw new Error(`the targets were not applied: ${applied.err}`);
      for (const { name, kind, power } of lab.machines) {
        // An emulated machine boots a real system on a busy host.
        if (power !== "off") await operator.home(name, kind === "qemu" ? 180_000 : 60_000);
      }
      return operator;
    } catch (error) {
      await operator.close();
      throw error;
    }
  }

  async startServe(): Promise<void> {
    this.serve = new Running("serve", ["serve"], this.env, this.dir, this.program);
    await this.serve.until(/^Boot server/m, READY_MS);
  }

  async startLab(config: string): Promise<void> {
    this.lab = new Running("lab", ["lab", "-f", config], this.env, this.dir);
    await this.lab.until(/^targets:/m, READY_MS);
  }

  /** Types `pitstop ARGS`. */
  run(...args: string[]): Promise<Said> {
    return this.type(args);
  }

  type(args: string[], input = "", env: NodeJS.ProcessEnv = {}): Promise<Said> {
    const child = spawn(process.execPath, [this.program, ...args], { env: { ...this.env, ...env }, cwd: this.dir });
    const said = { exit: -1, out: "", err: "" };
    child.stdout.on("data", (chunk: Buffer) => {
      said.out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      said.err += chunk.toString();
    });
    child.stdin.end(input);
    return new Promise((done) => child.once("close", (code) => done({ ...said, exit: code ?? -1 })));
  }

  /** Applies documents written by hand. */
  async apply(yaml: string): Promise<void> {
    const said = await this.type(["apply", "-f", "-"], yaml);
    if (said.exit !== 0) throw new Error(`not applied: ${said.err}`);
  }

  /** Writes a file into the working folder and returns its name there. */
  write(name: string, content: string | Buffer): string {
    writeFileSync(join(this.dir, name), content);
    return name;
  }

  /** An image of noise, which is all that a process machine wants of one, added as an operator would. */
  async addImage(name: string, kernelBytes = 200_000): Promise<void> {
    this.write(`${name}-vmlinuz`, randomBytes(kernelBytes));
    this.write(`${name}-initrd`, randomBytes(100_000));
    const said = await this.run("image", "add", name, "--kernel", `${name}-vmlinuz`, "--initrd", `${name}-initrd`);
    if (said.exit !== 0) throw new Error(`the image was not added: ${said.err}`);
  }

  /** The REST API, as a program would call it. */
  rest(path: string, init: RequestInit = {}): Promise<Response> {
    const token = readFileSync(join(this.data, "token"), "utf8").trim();
    const headers = { authorization: `Bearer ${token}`, ...init.headers };
    return fetch(`${this.url}${path}`, { ...init, headers });
  }

  /** The record of a session, by its id or its target; null while nobody knows of it. */
  async record(id: string): Promise<SessionRecord | null> {
    const response = await this.rest(`/api/v1/sessions/${encodeURIComponent(id)}`).catch(() => null);
    return response?.ok ? ((await response.json()) as SessionRecord) : null;
  }

  /** Waits for a phase of a target's newest session. */
  untilPhase(target: string, phase: SessionRecord["phase"], withinMs = 180_000): Promise<SessionRecord> {
    return until(
      `${target} is ${phase}`,
      async () => {
        const record = await this.record(target);
        return record?.phase === phase ? record : null;
      },
      withinMs,
    );
  }

  untilEnded(target: string, withinMs = 400_000): Promise<SessionRecord> {
    return until(
      `the session of ${target} has ended`,
      async () => {
        const record = await this.record(target);
        return record?.endedAt ? record : null;
      },
      withinMs,
    );
  }

  /** The document that the lab wrote for a machine. */
  target(name: string): Target {
    const documents = parseAllDocuments(readFileSync(join(this.data, "lab", "targets.yaml"), "utf8"));
    const found = documents.map((document) => Target.parse(document.toJS())).find((target) => target.name === name);
    if (!found) throw new Error(`the lab has no ${name}`);
    return found;
  }

  /** Waits until the machine's own system answers, and gives its answer. */
  home(name: string, withinMs = 20_000): Promise<Home> {
    const [check] = this.target(name).home;
    const url = check && "http" in check ? check.http.url : "";
    return until(
      `${name} answers at home`,
      async () => {
        // The forwarded port of a QEMU machine accepts connections whatever the guest does.
        const answer = await fetch(url, { signal: AbortSignal.timeout(3_000) }).catch(() => null);
        return answer?.ok ? ((await answer.json().catch(() => null)) as Home | null) : null;
      },
      withinMs,
    );
  }

  async answersAtHome(name: string): Promise<boolean> {
    const [check] = this.target(name).home;
    const url = check && "http" in check ? check.http.url : "";
    return (await fetch(url).catch(() => null))?.ok ?? false;
  }

  /** The BMC's own memory: override, medium, and whether the power is to be on. */
  bmc(name: string): { override: { enabled: string; target: string }; medium: unknown; wasOn: boolean } {
    const { override, medium, wasOn } = JSON.parse(
      readFileSync(join(this.data, "lab", "machines", name, "bmc", "bmc.json"), "utf8"),
    );
    return { override, medium, wasOn };
  }

  /** What reached a machine and its BMC, by the lab's own log; without its times and its name. */
  seen(name: string): string[] {
    const text = readFileSync(join(this.data, "lab", "lab.log"), "utf8");
    return text
      .split("\n")
      .filter((line) => line.split(" ")[1] === name)
      .map((line) => line.split(" ").slice(2).join(" "));
  }

  /** The requests that change something, logins apart. */
  writes(name: string): string[] {
    return this.seen(name).filter(
      (line) => /^(POST|PATCH|DELETE|PUT) /.test(line) && !line.includes("/SessionService"),
    );
  }

  /** `user:password` of a machine's BMC. */
  login(name: string): string {
    return readFileSync(join(this.data, "lab", "machines", name, "bmc-login"), "utf8").trim();
  }

  temporalPid(): number {
    return (JSON.parse(readFileSync(join(this.data, "temporal", "server.json"), "utf8")) as { pid: number }).pid;
  }

  /** What both processes said, for a test that failed. */
  get story(): string {
    return `${this.serve?.said ?? ""}\n${this.lab?.said ?? ""}`;
  }

  async close(): Promise<void> {
    await Promise.all([this.serve?.end("SIGTERM"), this.lab?.end("SIGTERM")]);
    // A serve that was killed leaves its servers to the next one, which there is not.
    killDatabase(this.data);
    if (existsSync(join(this.data, "temporal", "server.json"))) killed(this.temporalPid());
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

function killed(pid: number): void {
  if (pid <= 0) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It had ended.
  }
}

/** A process of ours that stays. */
export class Running {
  readonly child: ChildProcess;
  said = "";
  readonly ended: Promise<number | null>;

  constructor(
    readonly name: string,
    args: string[],
    env: NodeJS.ProcessEnv,
    cwd: string,
    program = PROGRAM,
  ) {
    mkdirSync(cwd, { recursive: true });
    this.child = spawn(process.execPath, [program, ...args], { env, cwd, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.said += chunk.toString();
      });
    }
    this.ended = new Promise((done) => this.child.once("exit", (code) => done(code)));
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async until(what: RegExp, withinMs: number): Promise<void> {
    const end = Date.now() + withinMs;
    while (!what.test(this.said)) {
      if (this.isOver || Date.now() > end) throw new Error(this.#silent(what, withinMs));
      await sleep(50);
    }
  }

  /** Its last words in the first line: a summary of many tests has room for no more. */
  #silent(what: RegExp, withinMs: number): string {
    const { exitCode, signalCode } = this.child;
    const how = this.isOver ? `ended (${signalCode ?? `exit code ${exitCode}`})` : `went on for ${withinMs / 1_000} s`;
    const last = this.said.trimEnd().split("\n").slice(-3).join(" / ");
    return `${this.name} ${how} and did not say ${what}; its last words: ${last}\nAll that it said:\n${this.said}`;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.isOver) this.child.kill(signal);
    await this.ended;
  }
}

export async function until<T>(what: string, look: () => Promise<T | null>, withinMs: number): Promise<T> {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
    await sleep(100);
  }
}

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { stringify } from "yaml";
import { PitstopClient } from "../../src/api/client.js";
import { type Config, loadConfig } from "../../src/config.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { Target } from "../../src/domain/target.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import type { Lab, LabTarget } from "../../src/lab/lab.js";
import type { RunningServer } from "../../workers/serve.js";
import { testDatabase } from "./database.js";
import { freePort } from "./free-port.js";

/** Two cores, emulated machines and a busy neighbour: ten times what a quiet host needs. */
const BOOT_MS = 300_000;
/** A test of a whole session ends before this, whatever becomes of the session. */
export const SESSION_MS = 600_000;

type MachineConfig = LabConfigInput["machines"][number];

/** What the lab's normal system says of itself. */
export interface Home {
  machineId: string;
  bootId: string;
  bootCount: number;
  userFileSha256: string;
}

/**
 * The operations server and a lab as `npm start` has them: the built program, a Temporal dev server, listeners and a
 * machine, all in this process and below one temporary folder. Driven by REST alone.
 */
export class Operations {
  readonly client: PitstopClient;
  readonly #config: Config;
  readonly #server: RunningServer;
  #lab: Lab | null = null;

  private constructor(config: Config, server: RunningServer) {
    this.#config = config;
    this.#server = server;
    this.client = new PitstopClient({ url: server.api, token: server.token });
  }

  /** `embedded`: with a database of its own, as `npm start` has it, and not one on the suites' shared server. */
  static async start({ embedded = false } = {}): Promise<Operations> {
    // Nothing to do where dist/ is what the sources say.
    execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
    const data = mkdtempSync(join(tmpdir(), "pitstop-operations-"));
    const [plain, tls] = [await freePort(), await freePort()];
    const env = {
      PITSTOP_DATA: data,
      PITSTOP_LISTEN: "127.0.0.1:0",
      PITSTOP_SITE_LISTEN: `127.0.0.1:${plain}`,
      PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
      // How QEMU's user network shows the host's loopback to a guest.
      PITSTOP_SITE_URL: `http://10.0.2.2:${plain}`,
      PITSTOP_SITE_TLS_URL: `https://10.0.2.2:${tls}`,
      PITSTOP_LOG_LEVEL: "error",
      ...(embedded ? {} : { DATABASE_URL: await testDatabase() }),
    };
    const config = loadConfig(env, data);
    const { startServer } = await built("workers/serve.js");
    return new Operations(config, await startServer(config, () => undefined));
  }

  async stop(): Promise<void> {
    await this.#lab?.close();
    await this.#server.close();
    rmSync(this.#config.PITSTOP_DATA, { recursive: true, force: true });
  }

  /** Applies catalogue documents as an operator does. */
  async apply(...documents: object[]): Promise<void> {
    await this.client.applyYaml(documents.map((document) => stringify(document)).join("---\n"), "the test's documents");
  }

  /** Puts a file where `file:images/…` finds it, and gives its reference for an image's document. */
  imageFile(name: string, bytes: Uint8Array): { url: string; sha256: string } {
    const folder = join(this.#config.PITSTOP_DATA, "images", "test");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), bytes);
    return { url: `file:images/test/${name}`, sha256: createHash("sha256").update(bytes).digest("hex") };
  }

  /** The built-in maintenance image's kernel, as a file of this host. */
  async baseKernel(): Promise<string> {
    const { prepareBaseImage } = await built("workers/prepare.js");
    return (await prepareBaseImage(() => undefined)).kernel;
  }

  /** PITSTOP_DATA. */
  get data(): string {
    return this.#config.PITSTOP_DATA;
  }

  /** How the server reaches Temporal. */
  get temporal(): RunningServer["temporal"] {
    return this.#server.temporal;
  }

  /** A lab of this one machine, whose target is applied. One machine runs at a time: the one before is switched off. */
  async machine(config: MachineConfig): Promise<RunningMachine> {
    const lab = await this.machines([config]);
    const [document] = lab.targetDocuments();
    if (!document) throw new Error("the lab has no machine");
    const folder = join(this.#config.PITSTOP_DATA, "lab", "machines", config.name, "machine");
    return new RunningMachine(lab.target(config.name), document, folder);
  }

  /** A lab of these machines, whose targets are applied. The lab before is switched off. */
  async machines(configs: MachineConfig[]): Promise<Lab> {
    await this.#lab?.close();
    const { openLab } = await built("workers/lab.js");
    const siteUrl = `http://127.0.0.1:${this.#config.PITSTOP_SITE_LISTEN.port}`;
    this.#lab = await openLab(this.#config, { machines: configs }, siteUrl);
    await this.apply(...this.#lab.targetDocuments());
    return this.#lab;
  }

  /** Starts a session and follows it to its end, or to where it waits for a person. */
  async run(target: string, action: string, withinMs = SESSION_MS): Promise<SessionRecord> {
    const { started, refused } = await this.client.start({ target, action, requestedBy: "a test" });
    const session = started[0]?.session;
    if (!session) throw new Error(`the session was refused: ${refused[0]?.problem.detail}`);
    const ended = async () => {
      const record = await this.client.session(session);
      return record.endedAt !== null || record.ending === "stranded" ? record : null;
    };
    return await until(ended, `the end of the session ${session}`, withinMs);
  }

  /** What a failed test shows: the end of the serial console, without terminal control sequences. */
  consoleTail(): string {
    const file = this.#lab?.targets[0]?.machine.consoleLog;
    if (!file || !existsSync(file)) return "there is no console";
    const text = stripVTControlCharacters(readFileSync(file, "latin1").slice(-4000));
    return `the console ends with:\n${text.replaceAll(/\r?\n\s*(\r?\n)+/g, "\n")}`;
  }
}

/** Compiled modules, because the server finds the workflows' bundle beside them. */
function built(path: "workers/serve.js"): Promise<typeof import("../../workers/serve.js")>;
function built(path: "workers/lab.js"): Promise<typeof import("../../workers/lab.js")>;
function built(path: "workers/prepare.js"): Promise<typeof import("../../workers/prepare.js")>;
function built(path: string): Promise<unknown> {
  return import(resolve("dist", path));
}

/** What a machine was told to boot, and the SHA-256 of each whole disk right before its firmware ran. */
export interface PowerOn {
  from: string;
  digests: string[];
}

/** A machine of the lab, seen from the host: by its BMC's journal, its disks' files, and its own system's answers. */
export class RunningMachine {
  readonly name: string;
  readonly bmc: LabTarget["bmc"];
  readonly machine: LabTarget["machine"];
  /** The target's document as it was applied. */
  readonly document: Target;
  /** The QEMU process's pid, while it runs. */
  readonly #pidFile: string;
  readonly #disks: string[];

  constructor({ name, bmc, machine, config }: LabTarget, document: Target, folder: string) {
    this.name = name;
    this.bmc = bmc;
    this.machine = machine;
    this.document = document;
    this.#pidFile = join(folder, "qemu.pid");
    this.#disks = [join(folder, "disk.img"), ...config.extraDisks];
  }

  /** One look at the machine's own system. The forwarded port accepts connections whatever the guest does. */
  async askHome(): Promise<Home | null> {
    const answer = await fetch(this.machine.homeUrl, { signal: AbortSignal.timeout(3_000) }).catch(() => null);
    return answer?.ok ? ((await answer.json().catch(() => null)) as Home | null) : null;
  }

  home(): Promise<Home> {
    return until(() => this.askHome(), `${this.name}'s own system`, BOOT_MS);
  }

  /** As a user of the machine's own system: writes the file that maintenance must leave alone, and gives its digest. */
  async writeNotes(text: string): Promise<string> {
    const url = new URL("cgi-bin/notes", this.machine.homeUrl);
    const answer = await fetch(url, { method: "POST", body: text, signal: AbortSignal.timeout(30_000) });
    if (!answer.ok) throw new Error(`${this.name} took no notes: ${answer.status}`);
    return createHash("sha256").update(text).digest("hex");
  }

  /** Looks at the disks at each power-on from now on: what ran between two of them is all that may have written. */
  watchDisks(): PowerOn[] {
    const seen: PowerOn[] = [];
    const start = this.machine.start.bind(this.machine);
    this.machine.start = async (boot) => {
      if (!this.machine.isOn()) {
        seen.push({ from: boot.from, digests: await Promise.all(this.#disks.map(fileDigest)) });
      }
      await start(boot);
    };
    return seen;
  }

  /** What reached the machine's power since the journal was cleared, and for a start what was booted. */
  powerEvents(): string[] {
    return this.bmc.journal.events.map(({ what, boot }) => (boot === undefined ? what : `${what} ${boot}`));
  }

  /** The Resets that the BMC was asked for and did. */
  resets(): string[] {
    return this.bmc.journal.events.flatMap(({ why }) => (why.startsWith("Reset ") ? [why.slice("Reset ".length)] : []));
  }

  /** The first sector of the machine's own disk. */
  bootSector(): Buffer {
    return readFileSync(this.#disks[0] ?? "").subarray(0, 512);
  }

  /** The arguments of the QEMU process that runs now. */
  arguments(): string[] {
    const pid = readFileSync(this.#pidFile, "utf8").trim();
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  }
}

/** SHA-256 of a whole file; the server in this process goes on meanwhile. */
async function fileDigest(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

export async function until<T>(look: () => Promise<T | null> | T | null, what: string, timeoutMs: number): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
    await sleep(100);
  }
}

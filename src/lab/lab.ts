import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { durationMs } from "../domain/basics.js";
import { PitstopError } from "../domain/errors.js";
import { Target } from "../domain/target.js";
import { LabBmc } from "./bmc/bmc.js";
import type { PowerTiming } from "./bmc/power.js";
import { LabCa } from "./bmc/tls.js";
import { LabConfig, type LabConfigInput, type LabMachineConfig, macOf, uuidOf } from "./config.js";
import { KeptPorts } from "./kept-ports.js";
import { LabLog } from "./log.js";
import type { LabMachine } from "./machine.js";
import { Downloader } from "./process/download.js";
import { HomeServer } from "./process/home-server.js";
import { ProcessMachine } from "./process/machine.js";

export interface LabOptions {
  /** Everything that the lab keeps: machines, BMCs, certificates, ports, passwords. */
  dataDir: string;
  /** What labs share and can make again: QEMU's disk image. */
  cacheDir: string;
  config: LabConfigInput;
  /** Origin of the targets' plain listener, as this host or a guest of it (10.0.2.2 for loopback) reaches it. Null: no boot server. */
  siteUrl: string | null;
  /** PEM file against which HTTPS boot and media servers are verified. Null: the system's CAs. */
  siteCaFile?: string | null;
}

/** A machine with its BMC. */
export interface LabTarget {
  name: string;
  config: LabMachineConfig;
  machine: LabMachine;
  bmc: LabBmc;
  /** Has `user:password`, mode 0600. */
  credentialsFile: string;
}

/** How long the hardware takes, in milliseconds. A real server takes seconds: say so with `slowness`. */
const TIMING: Record<LabMachineConfig["kind"], PowerTiming> = {
  process: { offMs: [50, 150], onMs: [20, 80], cycleMs: [100, 200] },
  qemu: { offMs: [50, 300], onMs: [50, 300], cycleMs: [500, 1000] },
};

/** Machines started at once: each makes a key and some files. */
const AT_ONCE = 16;

/** Starts the machines of a lab with their BMCs. Every machine is listening when it resolves; power follows the policy. */
export async function startLab(options: LabOptions): Promise<Lab> {
  const parsed = LabConfig.safeParse(options.config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new PitstopError("invalid", `The lab's ${issue?.path.join(".") || "configuration"}: ${issue?.message}.`);
  }
  const dataDir = resolve(options.dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const lab = await Lab.open({ ...options, dataDir }, parsed.data);
  try {
    await lab.startAll();
  } catch (error) {
    await lab.close();
    throw error;
  }
  return lab;
}

/** A lab that runs. */
export class Lab {
  readonly #options: LabOptions;
  readonly #config: LabConfig;
  readonly #ca: LabCa;
  readonly #ports: KeptPorts;
  readonly #home: HomeServer;
  readonly #downloader: Downloader;
  readonly #log: LabLog;
  readonly #targets = new Map<string, LabTarget>();
  /** Machines without a BMC yet, so that a start that fails leaves none behind. */
  readonly #machines: LabMachine[] = [];

  private constructor(parts: {
    options: LabOptions;
    config: LabConfig;
    ca: LabCa;
    ports: KeptPorts;
    home: HomeServer;
    downloader: Downloader;
    log: LabLog;
  }) {
    this.#options = parts.options;
    this.#config = parts.config;
    this.#ca = parts.ca;
    this.#ports = parts.ports;
    this.#home = parts.home;
    this.#downloader = parts.downloader;
    this.#log = parts.log;
  }

  static async open(options: LabOptions, config: LabConfig): Promise<Lab> {
    const ca = await LabCa.open(join(options.dataDir, "tls"));
    const ports = new KeptPorts(join(options.dataDir, "ports.json"));
    const home = await ports.listen("home", (port) => HomeServer.listen(config.listenHost, port));
    const siteCa = options.siteCaFile ? await readFile(options.siteCaFile, "utf8") : null;
    const log = new LabLog(join(options.dataDir, "lab.log"));
    return new Lab({ options, config, ca, ports, home, downloader: new Downloader(siteCa), log });
  }

  async startAll(): Promise<void> {
    const waiting = [...this.#config.machines];
    const start = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await this.#start(next);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, start));
    this.#ports.save();
  }

  /** In the order of the configuration. */
  get targets(): LabTarget[] {
    return this.#config.machines.map(({ name }) => this.target(name));
  }

  target(name: string): LabTarget {
    const found = this.#targets.get(name);
    if (found) return found;
    throw new PitstopError(
      "notFound",
      `The lab has no machine ${name}; it has ${[...this.#targets.keys()].join(", ")}.`,
    );
  }

  /** PEM file of the CA that signed every BMC's certificate. */
  get caFile(): string {
    return this.#ca.caFile;
  }

  /** The catalogue's documents for these machines; credentials by reference. */
  targetDocuments(): Target[] {
    return this.targets.map(({ name, config, machine, bmc, credentialsFile }) => {
      const uefi = machine.firmware === "uefi";
      return Target.parse({
        kind: "Target",
        name,
        labels: { lab: machine.kind, ...config.labels },
        identity: { uuid: machine.uuid, macs: machine.macs },
        control: [
          {
            redfish: {
              url: bmc.url,
              system: "1",
              credentials: { file: credentialsFile },
              tls: { fingerprint256: bmc.fingerprint256 },
            },
          },
        ],
        boot: { firmware: machine.firmware, via: config.via ?? (uefi ? ["uefi-http", "pxe"] : ["pxe"]) },
        shutdown: config.shutdown,
        home: [{ http: { url: machine.homeUrl } }],
      });
    });
  }

  /** The same as YAML, one document each, for `pitstop apply -f`. */
  targetYaml(): string {
    return this.targetDocuments()
      .map((document) => stringify(document))
      .join("---\n");
  }

  /** Turns every machine off and frees all ports. What the lab keeps on disk stays. */
  async close(): Promise<void> {
    await Promise.all([...this.#targets.values()].map(({ bmc }) => bmc.close()));
    await Promise.all(this.#machines.map((machine) => machine.dispose()));
    await this.#home.close();
    await this.#downloader.close();
    await this.#log.close();
  }

  async #start(config: LabMachineConfig): Promise<void> {
    const { name } = config;
    const dir = join(this.#options.dataDir, "machines", name);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const machine = await this.#machine(config, dir);
    this.#machines.push(machine);
    const { file, password } = await credentials(dir, this.#config.userName);
    const identity = await this.#ca.identity(name, this.#config.listenHost);
    const bmc = await this.#ports.listen(`bmc of ${name}`, (port) =>
      LabBmc.start({
        machine,
        dir: join(dir, "bmc"),
        host: this.#config.listenHost,
        port,
        identity,
        login: { userName: this.#config.userName, password },
        timing: slowed(TIMING[config.kind], this.#config.slowness),
        sessionTimeoutSeconds: Math.ceil(durationMs(this.#config.sessionTimeout) / 1000),
        mediaCaFile: this.#options.siteCaFile ?? null,
        secureBoot: config.secureBoot,
        initialPower: config.power,
        tell: (what) => this.#log.say(name, what),
        faults: config.bmcFaults,
      }),
    );
    this.#targets.set(name, { name, config, machine, bmc, credentialsFile: file });
  }

  /** QEMU is loaded only where a machine needs it: its tools may be missing. */
  async #machine(config: LabMachineConfig, dir: string): Promise<LabMachine> {
    const { name, firmware, ignorePowerButton } = config;
    const identity = { name, firmware, uuid: config.uuid ?? uuidOf(name), macs: [config.mac ?? macOf(name)] };
    const { siteUrl, cacheDir } = this.#options;
    if (config.kind === "process") {
      return ProcessMachine.create({
        ...identity,
        dir: join(dir, "machine"),
        siteUrl,
        home: this.#home,
        downloader: this.#downloader,
        faults: { ...config.faults, ...(ignorePowerButton ? { ignorePowerButton } : {}) },
      });
    }
    const { createQemuMachine } = await import("./qemu/index.js");
    return createQemuMachine({
      ...identity,
      dir: join(dir, "machine"),
      cacheDir,
      memoryMiB: config.memoryMiB,
      siteUrl,
      ignorePowerButton,
      extraDisks: config.extraDisks,
    });
  }
}

/** A password of the machine's own, made once. */
async function credentials(dir: string, userName: string): Promise<{ file: string; password: string }> {
  const file = join(dir, "bmc-login");
  if (!existsSync(file)) {
    await writeFile(file, `${userName}:${randomBytes(18).toString("hex")}`, { mode: 0o600 });
  }
  const text = (await readFile(file, "utf8")).trim();
  return { file, password: text.slice(text.indexOf(":") + 1) };
}

function slowed(timing: PowerTiming, by: number): PowerTiming {
  const slow = ([from, to]: readonly [number, number]) => [from * by, to * by] as const;
  return { offMs: slow(timing.offMs), onMs: slow(timing.onMs), cycleMs: slow(timing.cycleMs) };
}

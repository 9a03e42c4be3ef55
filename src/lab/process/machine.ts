import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { appendFileSync } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, PitstopError } from "../../domain/errors.js";
import type { LabBoot, LabBootOption, LabMachine, LabMachineEvents } from "../machine.js";
import { AgentProcess, endLeftoverAgent } from "./agent-process.js";
import { isArchive, unpack } from "./archive.js";
import { ProcessBootMenu } from "./boot-menu.js";
import type { Downloader } from "./download.js";
import { ProcessFaults, type ProcessFaultsInput } from "./faults.js";
import type { HomeServer } from "./home-server.js";
import type { IpxeEnd } from "./ipxe/interpreter.js";
import { bootFromNetwork, bootFromUri, type NetbootOptions, type NetbootTrace } from "./netboot.js";
import { NormalSystem } from "./normal-system.js";

/** How long the parts of a start and a shutdown take, in milliseconds. */
export interface ProcessTiming {
  firmwareMs: number;
  /** From the disk to the answer of the home check. */
  systemMs: number;
  /** From the kernel to the agent. */
  kernelMs: number;
  shutdownMs: number;
}
export const PROCESS_TIMING: ProcessTiming = { firmwareMs: 200, systemMs: 100, kernelMs: 100, shutdownMs: 100 };

export interface ProcessMachineOptions {
  name: string;
  uuid: string;
  macs: string[];
  firmware: "uefi" | "bios";
  dir: string;
  /** Origin of the targets' plain listener; null: no boot server. */
  siteUrl: string | null;
  home: HomeServer;
  downloader: Downloader;
  timing?: Partial<ProcessTiming>;
  faults?: ProcessFaultsInput;
}

/** One boot, for tests and for people: what the machine tried and where it came out. */
export interface BootRecord extends NetbootTrace {
  at: string;
  from: LabBoot["from"];
  bootId: string;
  /** `home`: the normal system runs. `image`: the agent runs. `hung`: neither, and the power is on. */
  cameOutAt: "firmware" | "home" | "image" | "hung" | "gone";
  /** Why the network boot gave up, or why the machine hangs. */
  why: string | null;
}

const MAX_RECORDS = 100;
const MAX_CONSOLE_BYTES = 4 * 1024 * 1024;

/** One power-on. Everything that it started ends with its signal. */
interface Life {
  readonly stop: AbortController;
  readonly record: BootRecord;
  phase: "firmware" | "loader" | "home" | "image" | "hung";
  agent: AgentProcess | null;
  ended: Promise<void>;
}

/**
 * A machine without QEMU. It walks the way of a real one (firmware, boot server, script, kernel and initrds to their last
 * byte) and then runs the image's agent as a process. For scale and faults; what it cannot show is in docs/lab.md.
 */
export class ProcessMachine extends EventEmitter<LabMachineEvents> implements LabMachine {
  readonly kind = "process";
  readonly name: string;
  readonly firmware: "uefi" | "bios";
  readonly uuid: string;
  readonly macs: string[];
  readonly homeUrl: string;
  readonly memoryMiB = 2048;
  readonly cpus = 2;
  readonly consoleLog: string;
  /** Newest last, at most 100. */
  readonly boots: BootRecord[] = [];
  readonly #options: ProcessMachineOptions;
  readonly #timing: ProcessTiming;
  readonly #system: NormalSystem;
  readonly #menu: ProcessBootMenu;
  #faults: ProcessFaults;
  #life: Life | null = null;

  static async create(options: ProcessMachineOptions): Promise<ProcessMachine> {
    await mkdir(options.dir, { recursive: true });
    await endLeftoverAgent(join(options.dir, "image"));
    const system = await NormalSystem.open(join(options.dir, "disk"), options.name);
    return new ProcessMachine(options, system);
  }

  private constructor(options: ProcessMachineOptions, system: NormalSystem) {
    super();
    this.#options = options;
    this.#system = system;
    this.#timing = { ...PROCESS_TIMING, ...options.timing };
    this.#faults = ProcessFaults.parse(options.faults ?? {});
    this.name = options.name;
    this.firmware = options.firmware;
    this.uuid = options.uuid.toLowerCase();
    this.macs = options.macs.map((mac) => mac.toLowerCase());
    this.consoleLog = join(options.dir, "console.log");
    this.#menu = new ProcessBootMenu(join(options.dir, "boot-order.json"), this.firmware, this.macs[0] ?? "");
    this.homeUrl = options.home.register(this.name, async () =>
      this.#life?.phase === "home" ? this.#system.facts() : null,
    );
  }

  get faults(): Readonly<ProcessFaults> {
    return this.#faults;
  }

  /** Changes some faults; they count from now on. */
  injectFaults(change: ProcessFaultsInput): void {
    this.#faults = ProcessFaults.parse({ ...this.#faults, ...change });
  }

  /** Path of the file that a user left on the machine's disk. */
  get userFile(): string {
    return this.#system.userFile;
  }

  isOn(): boolean {
    return this.#life !== null;
  }

  async start(boot: LabBoot): Promise<void> {
    if (this.#life) return;
    await this.#trimConsole();
    const record: BootRecord = {
      at: new Date().toISOString(),
      from: boot.from,
      bootId: randomUUID(),
      cameOutAt: "firmware",
      why: null,
      lines: [],
      downloads: [],
    };
    this.boots.push(record);
    if (this.boots.length > MAX_RECORDS) this.boots.shift();
    const life: Life = {
      stop: new AbortController(),
      record,
      phase: "firmware",
      agent: null,
      ended: Promise.resolve(),
    };
    this.#life = life;
    this.#say(`power-on, ${boot.from}, ${this.firmware}`);
    life.ended = this.#live(life, boot).catch((error: unknown) => {
      if (!life.stop.signal.aborted) this.#hang(life, messageOf(error));
    });
  }

  async kill(): Promise<void> {
    const life = this.#life;
    this.#life = null;
    if (life) await this.#end(life);
  }

  async pressPowerButton(): Promise<void> {
    const life = this.#life;
    // Neither firmware nor the maintenance image reacts to the button.
    if (life?.phase !== "home" || this.#faults.ignorePowerButton) return;
    this.#say("the power button was pressed");
    this.#later(life, this.#timing.shutdownMs, () => this.#leave(life, "off"));
  }

  /** A process machine has a slot, and no way to run what is in it. */
  async setMedium(path: string | null): Promise<void> {
    this.#say(path === null ? "the medium was taken out" : `medium ${path}`);
  }

  async bootOptions(): Promise<LabBootOption[]> {
    return this.#menu.options();
  }

  async bootOrder(): Promise<string[]> {
    return this.#menu.order();
  }

  async setBootOrder(references: string[]): Promise<void> {
    if (this.#life) {
      throw new PitstopError(
        "refused",
        `The boot order of ${this.name} can be set only while it is off; power it off.`,
      );
    }
    await this.#menu.setOrder(references);
  }

  bootProgress(): string {
    switch (this.#life?.phase) {
      case undefined:
        return "None";
      case "firmware":
      case "hung":
        return "SystemHardwareInitializationComplete";
      case "loader":
        return "OSBootStarted";
      case "home":
      case "image":
        return "OSRunning";
    }
  }

  async dispose(): Promise<void> {
    this.removeAllListeners();
    await this.kill();
    this.#options.home.unregister(this.name);
  }

  async #live(life: Life, boot: LabBoot): Promise<void> {
    await sleep(this.#timing.firmwareMs, undefined, { signal: life.stop.signal });
    const end = await this.#choose(life, boot);
    switch (end?.kind) {
      case undefined:
      case "sanboot":
        return this.#bootDisk(life);
      case "exit":
        life.record.why = end.why;
        this.#say(`network boot ends with status ${end.status}: ${end.why}`);
        // EFI_SUCCESS means to the firmware that something was booted and came back: it opens its setup screen.
        if (this.firmware === "uefi" && end.status === 0)
          return this.#hang(life, "the firmware's setup screen is open");
        return this.#bootDisk(life);
      case "boot":
        return this.#bootImage(life, end.initrds);
      case "reboot":
        return this.#leave(life, "reset");
      case "poweroff":
        return this.#leave(life, "off");
      case "stuck":
        return this.#hang(life, end.why);
    }
  }

  /** Null: the disk. What the firmware cannot boot it passes over. */
  async #choose(life: Life, boot: LabBoot): Promise<IpxeEnd | null> {
    const network = this.#netboot(life);
    switch (boot.from) {
      case "disk":
        return this.#menu.networkFirst ? bootFromNetwork(network) : null;
      case "pxe":
        return bootFromNetwork(network);
      case "uefi-http":
        if (this.firmware === "bios") return { kind: "exit", status: 1, why: "a BIOS cannot boot from a URI" };
        return bootFromUri(network, boot.uri);
      case "cd":
        return { kind: "exit", status: 1, why: "a process machine cannot boot a medium" };
    }
  }

  #netboot(life: Life): NetbootOptions {
    const { siteUrl, downloader } = this.#options;
    const uefi = this.firmware === "uefi";
    return {
      downloader,
      bootFile: siteUrl === null ? null : `${siteUrl}/boot.ipxe`,
      settings: {
        mac: this.macs[0] ?? "",
        uuid: this.uuid,
        serial: this.name,
        platform: uefi ? "efi" : "pcbios",
        buildarch: uefi ? "x86_64" : "i386",
        ip: "127.0.0.1",
      },
      trace: life.record,
      onDownload: async ({ url }) => {
        this.#say(`downloaded ${url}`);
        life.phase = "loader";
        if (!this.#faults.hangsAfterScript || !/boot\.ipxe\?/.test(url)) return;
        this.#hang(life, "the machine hangs after its boot script");
        await once(life.stop.signal, "abort");
      },
      signal: life.stop.signal,
    };
  }

  async #bootDisk(life: Life): Promise<void> {
    if (this.#faults.brokenDisk) return this.#hang(life, "the disk does not boot");
    life.phase = "loader";
    await sleep(this.#timing.systemMs, undefined, { signal: life.stop.signal });
    await this.#system.boot();
    life.stop.signal.throwIfAborted();
    life.phase = "home";
    life.record.cameOutAt = "home";
    this.#say("the normal system runs");
  }

  async #bootImage(life: Life, initrds: { name: string; content: Buffer | null }[]): Promise<void> {
    life.phase = "loader";
    const root = join(this.#options.dir, "image");
    await rm(root, { recursive: true, force: true });
    await mkdir(root, { recursive: true, mode: 0o700 });
    await sleep(this.#timing.kernelMs, undefined, { signal: life.stop.signal });
    for (const { content } of initrds) if (content && isArchive(content)) await unpack(content, root);
    if (this.#faults.noFirstContact) return this.#hang(life, "the agent does not start");
    life.stop.signal.throwIfAborted();
    const agent = await AgentProcess.start({
      root,
      consoleLog: this.consoleLog,
      bootId: life.record.bootId,
      uuid: this.uuid,
      macs: this.macs,
      firmware: this.firmware,
      onPower: (wish) => this.#leave(life, wish === "off" ? "off" : "reset"),
    });
    life.agent = agent;
    // The plug may have been pulled while the process started.
    if (life.stop.signal.aborted) return agent.kill();
    life.phase = "image";
    life.record.cameOutAt = "image";
    this.#say("the image's agent runs");
    const { silentAfterMs, resetAfterMs } = this.#faults;
    if (silentAfterMs !== null) this.#later(life, silentAfterMs, () => agent.freeze());
    if (resetAfterMs !== null) this.#later(life, resetAfterMs, () => this.#leave(life, "reset"));
  }

  #hang(life: Life, why: string): void {
    life.phase = "hung";
    life.record.cameOutAt = "hung";
    life.record.why = why;
    this.#say(`hangs: ${why}`);
  }

  /** The machine turns itself off, or resets itself, and tells its BMC. */
  #leave(life: Life, how: "off" | "reset"): void {
    if (this.#life !== life) return;
    this.#say(how === "off" ? "turns itself off" : "resets itself");
    this.#life = null;
    this.#end(life).then(
      () => this.emit(how),
      (error: unknown) => this.#say(`the end failed: ${messageOf(error)}`),
    );
  }

  async #end(life: Life): Promise<void> {
    life.stop.abort();
    if (life.record.cameOutAt === "firmware") life.record.cameOutAt = "gone";
    // Nothing of this life may still write to the disk, or start an agent, when the next one begins.
    await life.ended;
    await life.agent?.kill();
    this.#say("power is off");
  }

  #later(life: Life, ms: number, then: () => void): void {
    sleep(ms, undefined, { signal: life.stop.signal }).then(then, () => {});
  }

  #say(line: string): void {
    appendFileSync(this.consoleLog, `[lab ${new Date().toISOString()}] ${line}\n`);
  }

  async #trimConsole(): Promise<void> {
    const size = await stat(this.consoleLog).then(
      (found) => found.size,
      () => 0,
    );
    if (size > MAX_CONSOLE_BYTES) await rm(this.consoleLog, { force: true });
  }
}

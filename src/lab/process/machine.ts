import { EventEmitter } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, PitstopError } from "../../domain/errors.js";
import type { LabBoot, LabBootOption, LabMachine, LabMachineEvents } from "../machine.js";
import { endLeftoverAgent } from "./agent-process.js";
import { ProcessBootMenu } from "./boot-menu.js";
import { Console } from "./console.js";
import type { Downloader } from "./download.js";
import { ProcessFaults, type ProcessFaultsInput } from "./faults.js";
import type { HomeServer } from "./home-server.js";
import { type BootRecord, Life, type LifeParts, type ProcessTiming } from "./life.js";
import { NormalSystem } from "./normal-system.js";

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

const MAX_RECORDS = 100;

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
  /** Newest last, at most 100. */
  readonly boots: BootRecord[] = [];
  /** How often each fault was met: an injected one may wait for ever. */
  readonly met = new Map<keyof ProcessFaults, number>();
  readonly #home: HomeServer;
  readonly #system: NormalSystem;
  readonly #menu: ProcessBootMenu;
  readonly #console: Console;
  readonly #parts: LifeParts;
  #faults: ProcessFaults;
  #life: Life | null = null;
  /** It is turning itself off or resetting itself: the power is on until that is done. */
  #leaving: { ended: Promise<void> } | null = null;

  /** Ensures the machine's folder and gives the machine, which is off: an agent that an earlier lab left behind is ended. */
  static async create(options: ProcessMachineOptions): Promise<ProcessMachine> {
    await mkdir(options.dir, { recursive: true });
    await endLeftoverAgent(join(options.dir, "image"));
    const system = await NormalSystem.open(join(options.dir, "disk"), options.name);
    return new ProcessMachine(options, system);
  }

  private constructor(options: ProcessMachineOptions, system: NormalSystem) {
    super();
    const { name, firmware, dir, siteUrl, downloader } = options;
    this.name = name;
    this.firmware = firmware;
    this.uuid = options.uuid.toLowerCase();
    this.macs = options.macs.map((mac) => mac.toLowerCase());
    this.#home = options.home;
    this.#system = system;
    this.#faults = ProcessFaults.parse(options.faults ?? {});
    this.#console = new Console(join(dir, "console.log"));
    this.#menu = new ProcessBootMenu(join(dir, "boot-order.json"), firmware, this.macs[0] ?? "");
    this.#parts = {
      ...{ name, firmware, uuid: this.uuid, macs: this.macs, dir, siteUrl, downloader, system },
      timing: { ...PROCESS_TIMING, ...options.timing },
      console: this.#console,
      faults: () => this.#faults,
      onFault: (fault) => this.met.set(fault, (this.met.get(fault) ?? 0) + 1),
      networkFirst: () => this.#menu.networkFirst,
      onLeave: (life, how) => this.#leave(life, how),
    };
    this.homeUrl = options.home.register(name, async () => (this.#life?.phase === "home" ? system.facts() : null));
  }

  get consoleLog(): string {
    return this.#console.file;
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
    return this.#life !== null || this.#leaving !== null;
  }

  async start(boot: LabBoot): Promise<void> {
    if (this.isOn()) return;
    const life = new Life(this.#parts, boot);
    this.#life = life;
    this.boots.push(life.record);
    if (this.boots.length > MAX_RECORDS) this.boots.shift();
  }

  async kill(): Promise<void> {
    const [life, leaving] = [this.#life, this.#leaving];
    this.#life = null;
    // Whoever pulled the plug is not told that the machine left by itself.
    this.#leaving = null;
    await life?.end();
    await leaving?.ended;
  }

  async pressPowerButton(): Promise<void> {
    this.#life?.pressPowerButton();
  }

  /** A process machine has a slot, and no way to run what is in it. */
  async setMedium(path: string | null): Promise<void> {
    this.#console.say(path === null ? "the medium was taken out" : `medium ${path}`);
  }

  async bootOptions(): Promise<LabBootOption[]> {
    return this.#menu.options();
  }

  async bootOrder(): Promise<string[]> {
    return this.#menu.order();
  }

  async setBootOrder(references: string[]): Promise<void> {
    if (this.isOn()) {
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
    this.#home.unregister(this.name);
  }

  #leave(life: Life, how: "off" | "reset"): void {
    if (this.#life !== life) return;
    this.#console.say(how === "off" ? "turns itself off" : "resets itself");
    this.#life = null;
    const leaving = {
      ended: life.end().catch((error: unknown) => {
        this.#console.say(`the power did not go off cleanly: ${messageOf(error)}`);
      }),
    };
    this.#leaving = leaving;
    // The BMC hears of it when nothing of that life runs any more: it may start the next one at once.
    void leaving.ended.then(() => {
      if (this.#leaving !== leaving) return;
      this.#leaving = null;
      this.emit(how);
    });
  }
}

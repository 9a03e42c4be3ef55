import { EventEmitter } from "node:events";
import type { LabBoot, LabBootOption, LabMachine, LabMachineEvents } from "../../src/lab/machine.js";

/** A machine that only remembers what was done to it. */
export class RecordingMachine extends EventEmitter<LabMachineEvents> implements LabMachine {
  readonly kind = "process";
  readonly macs = ["52:54:00:12:34:01"];
  readonly homeUrl = "http://127.0.0.1:9/home/m1";
  readonly memoryMiB = 2048;
  readonly cpus = 2;
  readonly consoleLog = null;
  readonly done: string[] = [];
  medium: string | null = null;
  order = ["Boot0000", "Boot0001"];
  obeysButton = true;
  failsToStart = false;
  #on = false;

  constructor(
    readonly name: string,
    readonly uuid: string,
    readonly firmware: "uefi" | "bios" = "uefi",
  ) {
    super();
  }

  isOn(): boolean {
    return this.#on;
  }

  async start(boot: LabBoot): Promise<void> {
    if (this.failsToStart) throw new Error("no start today");
    this.#on = true;
    this.done.push(boot.from === "uefi-http" ? `start uefi-http ${boot.uri}` : `start ${boot.from}`);
  }

  async kill(): Promise<void> {
    this.#on = false;
    this.done.push("kill");
  }

  async pressPowerButton(): Promise<void> {
    this.done.push("button");
    if (this.obeysButton) this.turnOff();
  }

  turnOff(): void {
    this.#on = false;
    this.emit("off");
  }

  async setMedium(path: string | null): Promise<void> {
    this.medium = path;
  }

  async bootOptions(): Promise<LabBootOption[]> {
    return [
      { reference: "Boot0000", displayName: "Disk", uefiDevicePath: "HD(1,GPT)", enabled: true },
      { reference: "Boot0001", displayName: "Network", uefiDevicePath: "MAC(525400123401,0x1)", enabled: true },
    ];
  }

  async bootOrder(): Promise<string[]> {
    return this.order;
  }

  async setBootOrder(references: string[]): Promise<void> {
    this.order = references;
  }

  bootProgress(): string {
    return this.#on ? "OSRunning" : "None";
  }

  async dispose(): Promise<void> {
    this.#on = false;
  }
}

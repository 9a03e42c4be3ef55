import type { EventEmitter } from "node:events";

/** What the lab's BMC tells a machine to boot at this start. */
export type LabBoot = { from: "disk" } | { from: "pxe" } | { from: "uefi-http"; uri: string } | { from: "cd" };

/** One entry of a machine's boot menu, as the firmware has it now. */
export interface LabBootOption {
  /** `Boot0001` under UEFI; the lab's own constant names under BIOS. */
  reference: string;
  displayName: string;
  /** UEFI device path in text form; null under BIOS. */
  uefiDevicePath: string | null;
  enabled: boolean;
}

export interface LabMachineEvents {
  /** The guest turned itself off, or obeyed the power button. */
  off: [];
  /** The guest reset itself: the BMC decides anew what it boots (that is when `Once` is spent), then starts it. */
  reset: [];
}

/**
 * A machine to rehearse on, without its BMC: the BMC service holds override, media and power policy and drives this.
 * Each method ensures a state and may be called twice.
 */
export interface LabMachine extends EventEmitter<LabMachineEvents> {
  readonly name: string;
  readonly kind: "qemu" | "process";
  readonly firmware: "uefi" | "bios";
  /** Lower case. */
  readonly uuid: string;
  readonly macs: string[];
  /** How the operations server's home check reaches the machine's normal system. */
  readonly homeUrl: string;
  readonly memoryMiB: number;
  readonly cpus: number;

  isOn(): boolean;
  /** Power-on. Resolves when the machine runs its firmware. */
  start(boot: LabBoot): Promise<void>;
  /** Pulls the plug. */
  kill(): Promise<void>;
  /** ACPI power button: the running system may obey, or not. */
  pressPowerButton(): Promise<void>;
  /** Puts a medium (a local file's path) into the CD slot, or takes it out. */
  setMedium(path: string | null): Promise<void>;
  bootOptions(): Promise<LabBootOption[]>;
  bootOrder(): Promise<string[]>;
  /** Only while it is off (UEFI variables are the firmware's while it runs); an unknown reference is an error. */
  setBootOrder(references: string[]): Promise<void>;
  /** DSP0268 BootProgress.LastState as far as the lab can tell. */
  bootProgress(): string;
  /** Path of the serial console's log, if the machine has one. */
  readonly consoleLog: string | null;
  /** Turns the machine off and frees what it holds. */
  dispose(): Promise<void>;
}

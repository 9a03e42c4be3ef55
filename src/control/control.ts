import type { BootOrderEntry, BootOverride, BootState, MediaSlot, PowerState } from "../domain/snapshot.js";

/** Who answered at the control's address. UUIDs are lower case, null where the service gives none worth trusting. */
export interface ControlIdentity {
  serviceUuid: string | null;
  systemUuid: string | null;
  system: string;
  manufacturer: string | null;
  model: string | null;
}

/** What a target is told to boot next, once. */
export type BootChoice =
  | { via: "pxe" }
  /** DSP0268 ComputerSystem.Boot.HttpBootUri with target UefiHttp. */
  | { via: "uefi-http"; uri: string }
  /** The medium is inserted by {@link TargetControl.insertMedia} before. */
  | { via: "virtual-media" };

export type ResetKind = "On" | "ForceOff" | "GracefulShutdown" | "ForceRestart";

/** How many requests the control has sent since it was opened. */
export interface ControlUsage {
  total: number;
  powerPolls: number;
}

/**
 * How a target is identified, powered and told what to boot. One implementation per way (Redfish now).
 *
 * Every method reads before it writes where that is possible, and reads back after it wrote. Errors are
 * `PitstopError`: `refused` (this machine, or its state, forbids it), `unauthorized` (never retried: lock-outs),
 * `unreachable` (retry later), `invalid` (the document is wrong), `internal`.
 */
export interface TargetControl {
  /** Compares the machine at the address with the identity of the document before anything else is asked of it. */
  identify(): Promise<ControlIdentity>;
  /** The whole boot state, read afresh. */
  readState(): Promise<BootState>;
  /** The power state alone: the cheap poll. Counted apart. */
  power(): Promise<PowerState>;
  /** Asks once. Never repeated blindly: on a lost answer the caller reads {@link power} first. */
  reset(kind: ResetKind): Promise<void>;
  /** Ensures that the next boot, and where the BMC can only that one, is `choice`. Returns what was read back. */
  arm(choice: BootChoice): Promise<BootOverride>;
  /**
   * Ensures that the override is as it was in the snapshot. `unsure`: an arming was asked for and not seen to be done, so that
   * a reading may be older than it: it is written whatever is read.
   */
  restoreOverride(to: BootOverride, unsure?: boolean): Promise<BootOverride>;
  /** Ensures the boot order of the snapshot, matched by device path; writes only where it differs. */
  restoreBootOrder(to: BootOrderEntry[]): Promise<void>;
  /** Ensures that exactly this medium is inserted in a slot that can hold it (eject first, read back). */
  insertMedia(url: string): Promise<MediaSlot>;
  /** Ensures that the slots hold what they held in the snapshot. */
  restoreMedia(to: MediaSlot[]): Promise<void>;
  /** DSP0268 BootProgress.LastState, where the service has it. */
  bootProgress(): Promise<string | null>;
  usage(): ControlUsage;
  /** Logs out. Never throws. */
  close(): Promise<void>;
}

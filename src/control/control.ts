import type { Reading } from "../domain/reading.js";
import type {
  BootOrderEntry,
  BootOverride,
  BootSnapshot,
  Difference,
  MediaSlot,
  PowerState,
} from "../domain/snapshot.js";

/** Who answered at the control's address. UUIDs are lower case, null where the service gives none worth trusting. */
export type ControlIdentity = BootSnapshot["identity"];

/** What a target is told to boot next, once. */
export type BootChoice =
  | { via: "pxe" }
  /** DSP0268 ComputerSystem.Boot.HttpBootUri with target UefiHttp. */
  | { via: "uefi-http"; uri: string }
  /** {@link Media.insert} inserts the medium before. */
  | { via: "virtual-media" };

export type ResetKind = "On" | "ForceOff" | "GracefulShutdown" | "ForceRestart";

/** Requests that the control has sent since it was opened. `writes`: those that changed the machine, or may have. */
export interface ControlUsage {
  total: number;
  powerPolls: number;
  writes: number;
}

/** How two readings of one section differ. `added`: what firmware adds by itself, which is no difference. */
export interface Comparison {
  differences: Difference[];
  added: string[];
}

/** One section of the boot snapshot. Its control reads, compares and restores it; nobody else looks inside. */
export interface Section<T> {
  /** Reads afresh. Errors: `unreachable`, `unauthorized`; whatever shows but has no meaning is an `unreadable` reading. */
  read(): Promise<Reading<T>>;
  /** Compares two known values. */
  compare(before: T, after: T): Comparison;
  /** What somebody else left in it that the next boot would use, for a sentence; null where nothing is pending. */
  pending(value: T): string | null;
}

export interface Power extends Section<PowerState> {
  /** Asks once. On a lost answer (`unreachable`) the caller reads before it asks again. */
  reset(kind: ResetKind): Promise<void>;
  /** DSP0268 BootProgress.LastState. */
  progress(): Promise<Reading<string>>;
}

export interface Armed {
  override: BootOverride;
  /** Sentences for the record, for example that the BMC took the change for later. */
  notes: string[];
}

export interface NextBoot extends Section<BootOverride> {
  /** Ensures that the next boot, and where the BMC can only that one, is `choice`; reads it back. */
  arm(choice: BootChoice): Promise<Armed>;
  /**
   * Ensures the override of the snapshot. `unsure`: an arming was asked for and not seen done, so that a reading may be older
   * than it; then `restore` writes whatever it reads. Gives notes.
   */
  restore(to: BootOverride, unsure?: boolean): Promise<string[]>;
}

export interface BootOrder extends Section<BootOrderEntry[]> {
  /** Ensures the order of the snapshot, by device path; writes only a difference. Gives notes. */
  restore(to: BootOrderEntry[]): Promise<string[]>;
  /** Whether the first entry boots from the network. */
  asksNetworkFirst(): Promise<Reading<boolean>>;
}

/** A medium in its slot. `verified`: the BMC checks the certificate of the server that it fetches the medium from. */
export interface Inserted extends MediaSlot {
  verified: boolean;
}

export interface Media extends Section<MediaSlot[]> {
  /**
   * Ensures that this medium is in a slot that can hold it, and reads it back. Refused with nothing written where the next boot
   * could not be the medium. `verify`: refuses a slot that does not check certificates, having asked it to.
   */
  insert(url: string, options?: { verify: boolean }): Promise<Inserted>;
  /** Ensures that the slots hold what they held. Only while the target is off: an ejected live medium corrupts its system. */
  restore(to: MediaSlot[]): Promise<void>;
}

export interface Console {
  /** The newest text that the target wrote to its console, at most `maxBytes` of it. */
  tail(maxBytes: number): Promise<Reading<string>>;
}

/** What a proved control can do. What it has not is null, and nobody pretends. */
export interface Capabilities {
  readonly identity: ControlIdentity;
  /** The kind of control, as the snapshot names it. */
  readonly kind: string;
  readonly power: Power | null;
  readonly nextBoot: NextBoot | null;
  readonly bootOrder: BootOrder | null;
  readonly media: Media | null;
  readonly secureBoot: Section<boolean> | null;
  readonly console: Console | null;
}

/**
 * One way to control a target. Only {@link prove} gives its capabilities, so that nothing is read or written before the
 * identity is proved.
 *
 * Every method reads before it writes where that is possible, and reads back after it wrote. Errors are
 * `PitstopError`: `refused` (this machine, or its state, forbids it), `unauthorized` (never retried: lock-outs),
 * `unreachable` (retry later), `invalid` (the document is wrong), `internal`.
 */
export interface TargetControl {
  /**
   * Compares the machine at the address with the document, and with `kept`, the identity that the boot snapshot has. Each call
   * begins anew: the next write compares again. Errors: `refused` where another machine answers, or the proved UUID is gone.
   */
  prove(kept?: ControlIdentity | null): Promise<Capabilities>;
  usage(): ControlUsage;
  /** Logs out. Never throws. */
  close(): Promise<void>;
}

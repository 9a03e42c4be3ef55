import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../domain/errors.js";
import type { LabBoot, LabMachine } from "../machine.js";
import type { FaultSet } from "./faults/index.js";
import type { Journal } from "./journal.js";
import { refuse } from "./messages.js";
import { type BmcStateFile, NO_OVERRIDE, type Override } from "./state.js";

export const RESET_TYPES = [
  "On",
  "ForceOn",
  "ForceOff",
  "GracefulShutdown",
  "GracefulRestart",
  "ForceRestart",
  "PushPowerButton",
  "PowerCycle",
  "Nmi",
] as const;
export type ResetType = (typeof RESET_TYPES)[number];

/** How long the hardware takes after a Reset was accepted: a random time within each pair, in milliseconds. */
export interface PowerTiming {
  offMs: readonly [number, number];
  onMs: readonly [number, number];
  /** The pause of a PowerCycle with the power off. */
  cycleMs: readonly [number, number];
}

/** More than any client asks for at once; a real BMC refuses sooner. */
const MAX_QUEUED = 8;
/** After it a GracefulRestart whose system did not shut down is forgotten. */
const GRACEFUL_RESTART_MS = 300_000;

/** Resets that need a running system. */
const NEEDS_POWER: ReadonlySet<ResetType> = new Set<ResetType>([
  "GracefulRestart",
  "ForceRestart",
  "PowerCycle",
  "Nmi",
]);

/**
 * The power of one machine: does what Reset asks, one thing after the other, and decides at each start what is booted.
 * The answer to a Reset comes when it is accepted; it takes effect later, as on real hardware.
 */
export class PowerUnit {
  readonly #machine: LabMachine;
  readonly #state: BmcStateFile;
  readonly #journal: Journal;
  readonly #faults: FaultSet;
  readonly #timing: PowerTiming;
  readonly #stopped = new AbortController();
  #queue: Promise<void> = Promise.resolve();
  #queued = 0;
  /** The power state when everything queued is done; null when nothing is queued. */
  #endsOn: boolean | null = null;
  /** Counts power cuts: a guest's reset that was seen before a cut must not start the machine after it. */
  #cuts = 0;
  /** Between a guest's reset and its next start the power stays on. */
  #resetting = false;
  #restartUntilMs = 0;

  constructor(parts: {
    machine: LabMachine;
    state: BmcStateFile;
    journal: Journal;
    faults: FaultSet;
    timing: PowerTiming;
  }) {
    this.#machine = parts.machine;
    this.#state = parts.state;
    this.#journal = parts.journal;
    this.#faults = parts.faults;
    this.#timing = parts.timing;
    this.#machine.on("off", this.#guestOff);
    this.#machine.on("reset", this.#guestReset);
  }

  get isOn(): boolean {
    return this.#machine.isOn() || this.#resetting;
  }

  /** Accepts a Reset, or throws a `RedfishError`. What the machine is in already is accepted and does nothing. */
  reset(type: ResetType): void {
    if (this.#queued >= MAX_QUEUED) throw refuse(503, "ServiceTemporarilyUnavailable", ["1"]);
    const on = this.#endsOn ?? this.isOn;
    if (!on && NEEDS_POWER.has(type)) throw refuse(409, "ResourceInStandby");
    const why = `Reset ${type}`;
    if (this.#faults.losesReset(type)) {
      this.#journal.power("lost", why);
      return;
    }
    switch (type) {
      case "On":
      case "ForceOn":
        this.#enqueue(true, () => this.#on(why));
        break;
      case "ForceOff":
        this.#enqueue(false, () => this.#off(why));
        break;
      case "ForceRestart":
        this.#enqueue(true, async () => {
          await this.#off(why);
          await this.#boot(why);
        });
        break;
      case "PowerCycle":
        this.#enqueue(true, async () => {
          await this.#off(why);
          await this.#wait(this.#timing.cycleMs);
          await this.#on(why);
        });
        break;
      case "GracefulShutdown":
        if (on) this.#enqueue(on, () => this.#press(why));
        break;
      case "GracefulRestart":
        this.#restartUntilMs = performance.now() + GRACEFUL_RESTART_MS;
        this.#enqueue(on, () => this.#press(why));
        break;
      case "PushPowerButton":
        this.#enqueue(true, () => (on ? this.#press(why) : this.#on(why)));
        break;
      case "Nmi":
        this.#journal.power("nmi", why);
        break;
    }
  }

  /** What the BMC does when its own power comes back (ComputerSystem.PowerRestorePolicy). */
  restore(): void {
    const { powerRestorePolicy, wasOn } = this.#state.current;
    if (powerRestorePolicy === "AlwaysOn" || (powerRestorePolicy === "LastState" && wasOn)) {
      this.#enqueue(true, () => this.#on(`PowerRestorePolicy ${powerRestorePolicy}`));
    }
  }

  /** Resolves when everything accepted so far has taken effect. */
  settled(): Promise<void> {
    return this.#queue;
  }

  /** Lets go of the machine; what is queued is not done any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#machine.off("off", this.#guestOff);
    this.#machine.off("reset", this.#guestReset);
    await this.#queue;
  }

  #enqueue(endsOn: boolean, work: () => Promise<void>): void {
    this.#queued += 1;
    this.#endsOn = endsOn;
    this.#queue = this.#queue.then(async () => {
      try {
        if (!this.#stopped.signal.aborted) await work();
      } catch (error) {
        if (!this.#stopped.signal.aborted) this.#journal.power("start-failed", messageOf(error));
      } finally {
        this.#queued -= 1;
        if (this.#queued === 0) this.#endsOn = null;
      }
    });
  }

  async #on(why: string): Promise<void> {
    if (this.isOn) return;
    await this.#wait(this.#timing.onMs);
    await this.#state.update({ wasOn: true });
    await this.#boot(why);
  }

  async #off(why: string): Promise<void> {
    this.#restartUntilMs = 0;
    if (!this.isOn) return;
    await this.#wait(this.#timing.offMs);
    // Its system may have gone by itself meanwhile.
    if (!this.isOn) return;
    this.#journal.power("kill", why);
    await this.#machine.kill();
    // Counted when the power is gone: a reset that was seen on the way there belongs to the time before.
    this.#cuts += 1;
    this.#resetting = false;
    await this.#state.update({ wasOn: false });
  }

  async #press(why: string): Promise<void> {
    if (!this.#machine.isOn()) return;
    this.#journal.power("button", why);
    await this.#machine.pressPowerButton();
  }

  /** Starts the firmware. `Once` is spent when the machine really runs with it, and not before. */
  async #boot(why: string): Promise<void> {
    const override = this.#state.current.override;
    const ignored = isArmed(override) ? this.#faults.ignoresOverride() : null;
    const boot: LabBoot = ignored === null ? bootOf(override) : { from: "disk" };
    this.#resetting = false;
    await this.#machine.start(boot);
    this.#journal.power("start", why, boot.from);
    if (!this.#state.current.wasOn) await this.#state.update({ wasOn: true });
    const spent = override.enabled === "Once" && ignored !== "kept";
    // Identity, not equality: a client may have written the same override anew while the machine started.
    if (spent && this.#state.current.override === override) await this.#state.update({ override: NO_OVERRIDE });
  }

  #guestOff = (): void => {
    this.#journal.power("guest-off", "the system turned itself off");
    const restart = performance.now() < this.#restartUntilMs;
    this.#restartUntilMs = 0;
    if (restart) this.#enqueue(true, () => this.#on("Reset GracefulRestart"));
    else this.#enqueue(this.#endsOn ?? false, () => this.#state.update({ wasOn: this.isOn }));
  };

  #guestReset = (): void => {
    this.#journal.power("guest-reset", "the system reset itself");
    const cuts = this.#cuts;
    this.#resetting = true;
    this.#restartUntilMs = 0;
    this.#enqueue(this.#endsOn ?? true, async () => {
      if (cuts === this.#cuts) await this.#boot("the system reset itself");
    });
  };

  async #wait([from, to]: readonly [number, number]): Promise<void> {
    await sleep(from + Math.random() * (to - from), undefined, { signal: this.#stopped.signal });
  }
}

const isArmed = (override: Override): boolean => override.enabled !== "Disabled" && override.target !== "None";

function bootOf(override: Override): LabBoot {
  if (!isArmed(override)) return { from: "disk" };
  switch (override.target) {
    case "Pxe":
      return { from: "pxe" };
    case "Cd":
      return { from: "cd" };
    case "UefiHttp":
      return { from: "uefi-http", uri: override.httpBootUri ?? "" };
    case "Hdd":
    case "None":
      return { from: "disk" };
  }
}

import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { PitstopError } from "../../../domain/errors.js";
import { ContinuousOnlyFault, continuousOnlyFault } from "./continuous-only.js";
import { DelayFault, delayFault } from "./delay.js";
import { DropFault, dropFault } from "./drop.js";
import { EtagFault, etagFault } from "./etag.js";
import type { Fault, Interception, JsonObject } from "./fault.js";
import { IgnoredOverrideFault, ignoredOverrideFault } from "./ignored-override.js";
import { IgnoredWriteFault, ignoredWriteFault } from "./ignored-write.js";
import { LostResetFault, lostResetFault } from "./lost-reset.js";
import { LyingPowerFault, lyingPowerFault } from "./lying-power.js";
import type { Seen } from "./match.js";
import { SessionExpiryFault, sessionExpiryFault } from "./session-expiry.js";
import { SettingsObjectFault, settingsObjectFault } from "./settings-object.js";
import { StaleReadFault, staleReadFault } from "./stale-read.js";
import { StatusFault, statusFault } from "./status.js";
import { StickyMediaFault, stickyMediaFault } from "./sticky-media.js";

/** A fault as data, chosen by its name. */
export const FaultSpec = z.discriminatedUnion("fault", [
  ContinuousOnlyFault,
  DelayFault,
  DropFault,
  EtagFault,
  IgnoredOverrideFault,
  IgnoredWriteFault,
  LostResetFault,
  LyingPowerFault,
  SessionExpiryFault,
  SettingsObjectFault,
  StaleReadFault,
  StatusFault,
  StickyMediaFault,
]);
export type FaultSpec = z.input<typeof FaultSpec>;

function makeFault(spec: z.output<typeof FaultSpec>): Fault {
  switch (spec.fault) {
    case "continuous-only":
      return continuousOnlyFault();
    case "delay":
      return delayFault(spec);
    case "drop":
      return dropFault(spec);
    case "etag":
      return etagFault(spec);
    case "ignored-override":
      return ignoredOverrideFault(spec);
    case "ignored-write":
      return ignoredWriteFault(spec);
    case "lost-reset":
      return lostResetFault(spec);
    case "lying-power":
      return lyingPowerFault(spec);
    case "session-expiry":
      return sessionExpiryFault(spec);
    case "settings-object":
      return settingsObjectFault();
    case "stale-read":
      return staleReadFault(spec);
    case "status":
      return statusFault(spec);
    case "sticky-media":
      return stickyMediaFault();
  }
}

const MAX_FAULTS = 32;

/** The faults of one BMC. They may be injected and taken back while it runs. */
export class FaultSet {
  readonly #faults = new Map<object, { spec: FaultSpec; fault: Fault }>();
  readonly #met = new Map<FaultSpec["fault"], number>();

  /** Returns what takes the fault back. */
  inject(spec: FaultSpec): () => void {
    const parsed = FaultSpec.safeParse(spec);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new PitstopError("invalid", `The fault is not usable at ${issue?.path.join(".")}: ${issue?.message}.`);
    }
    if (this.#faults.size >= MAX_FAULTS) {
      throw new PitstopError("invalid", `A BMC has at most ${MAX_FAULTS} faults at once; take some back first.`);
    }
    const key = {};
    this.#faults.set(key, { spec, fault: makeFault(parsed.data) });
    return () => {
      this.#faults.delete(key);
    };
  }

  list(): FaultSpec[] {
    return [...this.#faults.values()].map(({ spec }) => spec);
  }

  clear(): void {
    this.#faults.clear();
  }

  /** How often faults of each kind were met since the BMC began, those that are taken back among them: an injected one may wait for ever. */
  get met(): ReadonlyMap<FaultSpec["fault"], number> {
    return this.#met;
  }

  async intercept(seen: Seen): Promise<Interception | null> {
    for (const { spec, fault } of this.#each()) {
      const ms = fault.delaysMs?.(seen) ?? 0;
      if (ms > 0) {
        this.#count(spec);
        // Unreferenced: a lab that is closed does not wait for a client that nobody answers any more.
        await sleep(ms, undefined, { ref: false });
      }
      const interception = (await fault.intercept?.(seen)) ?? null;
      if (!interception) continue;
      this.#count(spec);
      return interception;
    }
    return null;
  }

  show(path: string, body: JsonObject): JsonObject {
    return this.#each().reduce((shown, { spec, fault }) => {
      const now = fault.show?.(path, shown) ?? shown;
      if (now !== shown) this.#count(spec);
      return now;
    }, body);
  }

  shownEtag(strong: string): string | null {
    const found = this.#each().find(({ fault }) => fault.etag);
    if (!found?.fault.etag) return strong;
    const shown = found.fault.etag.show(strong);
    if (shown !== strong) this.#count(found.spec);
    return shown;
  }

  acceptsEtag(given: string, strong: string): boolean {
    const etag = this.#each().find(({ fault }) => fault.etag)?.fault.etag;
    return etag ? etag.accepts(given, strong) : given === strong;
  }

  ignoresOverride(): "spent" | "kept" | null {
    for (const { spec, fault } of this.#each()) {
      const ignored = fault.ignoresOverride?.() ?? null;
      if (!ignored) continue;
      this.#count(spec);
      return ignored;
    }
    return null;
  }

  losesReset(type: string): boolean {
    return this.#some((fault) => fault.losesReset?.(type) ?? false);
  }

  endsSessions(seen: Seen): boolean {
    return this.#some((fault) => fault.endsSessions?.(seen) ?? false);
  }

  get bootInSettings(): boolean {
    return this.#some((fault) => fault.bootInSettings === true);
  }

  get knowsNoOnce(): boolean {
    return this.#some((fault) => fault.knowsNoOnce === true);
  }

  #each(): { spec: FaultSpec; fault: Fault }[] {
    return [...this.#faults.values()];
  }

  #some(acts: (fault: Fault) => boolean): boolean {
    const found = this.#each().find(({ fault }) => acts(fault));
    if (found) this.#count(found.spec);
    return found !== undefined;
  }

  #count({ fault }: FaultSpec): void {
    this.#met.set(fault, (this.#met.get(fault) ?? 0) + 1);
  }
}

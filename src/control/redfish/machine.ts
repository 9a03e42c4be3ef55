import { setTimeout as delay } from "node:timers/promises";
import { PitstopError } from "../../domain/errors.js";
import { sameUuid, usableUuid } from "../../domain/machine-identity.js";
import { type Reading, unreadable } from "../../domain/reading.js";
import type { PowerState } from "../../domain/snapshot.js";
import type { Target } from "../../domain/target.js";
import type { JsonObject } from "../json.js";
import { type Log, silent } from "../log.js";
import { type Dialect, STANDARD } from "../quirks/quirk.js";
import { dialectOf, needsFirmware } from "../quirks/quirks.js";
import type { RedfishClient } from "./client.js";
import { anotherMachine, macsOf, type ProvedIdentity } from "./identity.js";
import {
  type Boot,
  entityTagOf,
  idOf,
  linkOf,
  Manager,
  type ServiceRoot,
  SettingsResource,
  System,
} from "./resources.js";

/**
 * Reads that follow each other within so long, with no write of ours between, are one look at the machine: `identify`
 * and `readState`, say, read the system once. A wait is always longer.
 */
const ONE_LOOK_MS = 1_000;

/** The system at one look, with its settings resource where the boot settings are written there. */
export interface Look {
  system: System;
  etag: string | null;
  /** Seen as a member of its collection: then there may be an entity tag that was not shown. */
  inCollection: boolean;
  /** DSP0266, "Settings resource": the state that the next boot is to have. */
  settings: { path: string; boot: Boot; etag: string | null } | null;
}

export interface MachineOptions {
  log?: Log;
  sleep?: (ms: number) => Promise<unknown>;
  now?: () => number;
}

/** One system of one Redfish service: how it is read, and how it wants to be spoken to. */
export class Machine {
  dialect: Dialect = STANDARD;
  powerPolls = 0;
  readonly sleep: (ms: number) => Promise<unknown>;
  readonly log: Log;
  private readonly now: () => number;
  /** What {@link proved} was last compared with the machine; null: not since the last write, or the last call of `prove`. */
  private comparedAt: number | null = null;
  /** The identity that the first proof found; every later reading is compared with it, never with the reading before. */
  private identity: ProvedIdentity | null = null;
  private readonly settingsLink: { known: boolean; link: string | null } = { known: false, link: null };
  private systemId: string | null = null;
  private system: System | null = null;
  /** The only system, as the collection showed it a moment ago. */
  private found: JsonObject | null = null;
  private seen: { look: Look; at: number } | null = null;
  private last: Look | null = null;

  constructor(
    readonly client: RedfishClient,
    readonly target: Target,
    private readonly wantedSystem: string | undefined,
    options: MachineOptions = {},
  ) {
    this.log = options.log ?? silent;
    this.sleep = options.sleep ?? ((ms) => delay(ms));
    this.now = options.now ?? Date.now;
  }

  /** For sentences. */
  get at(): string {
    return this.client.transport.host;
  }

  /** The Id of the system: the document's, else the only one. */
  async id(): Promise<string> {
    if (this.systemId !== null) return this.systemId;
    this.systemId = this.wantedSystem ?? (await this.onlySystem());
    return this.systemId;
  }

  /** The system as it is now; within one look, as it was read just before. */
  async look(): Promise<Look> {
    if (this.seen !== null && this.now() - this.seen.at < ONE_LOOK_MS) return this.seen.look;
    return await this.lookAgain();
  }

  /** As {@link look}, with the entity tag that a change needs, of a machine whose identity was compared just now. */
  async lookToChange(): Promise<Look> {
    const look = (await this.compareIdentity()) ?? (await this.look());
    return look.inCollection && look.etag === null ? await this.lookAgain() : look;
  }

  /** The newest whole look, whenever that was: what the machine has, not how it is. */
  async lastLook(): Promise<Look> {
    return this.last ?? (await this.look());
  }

  /** The system as it is now, read now. */
  async lookAgain(): Promise<Look> {
    const read = await this.readSystem();
    const look: Look = { ...read, settings: await this.readSettings(read.system) };
    this.seen = { look, at: this.now() };
    this.last = look;
    return look;
  }

  /** The system's paths and capabilities as last read, whenever that was; its values may be old. */
  async capabilities(): Promise<System> {
    return this.system ?? (await this.look()).system;
  }

  /** The power alone: one request. */
  async power(): Promise<Reading<PowerState>> {
    const before = this.client.transport.sent;
    const read = await this.readSystem();
    const { system } = read;
    this.powerPolls += this.client.transport.sent - before;
    // A look is whole: where boot settings are, or may be, written elsewhere, the next reader asks for them.
    const whole = this.settingsLink.known ? this.settingsLink.link === null : !hasSettings(system);
    this.seen = whole ? { look: { ...read, settings: null }, at: this.now() } : null;
    return powerOf(system);
  }

  /** Something was written: nothing that was read before counts any more. */
  wrote(): void {
    this.seen = null;
    this.comparedAt = null;
  }

  /** `proved` keeps the identity that a proof found. */
  proved(identity: ProvedIdentity): void {
    this.identity = identity;
    this.comparedAt = this.now();
  }

  /** Another activity begins: what was read for the last one is old. */
  begin(): void {
    this.wrote();
  }

  /**
   * `compareIdentity` stands before each write: the machine that answers now must be the one that was proved. One comparison
   * serves one look, and gives null. Errors: `refused` where another machine answers, or the proved UUID is gone.
   */
  async compareIdentity(): Promise<Look | null> {
    if (this.comparedAt !== null && this.now() - this.comparedAt < ONE_LOOK_MS) return null;
    const look = await this.lookAgain();
    if (this.identity !== null && this.identity.macs.length > 0) {
      const found = await macsOf(this, look.system);
      if (!this.identity.macs.some((mac) => found.includes(mac))) {
        throw anotherMachine(this.at, this.identity.macs.join(", "), found.join(", ") || "no MAC address");
      }
    }
    this.comparedAt = this.now();
    return look;
  }

  /** `useSettings` takes the resource that a refusal named for the settings resource; null where that shows no boot settings. */
  async useSettings(path: string): Promise<Look | null> {
    const before = { ...this.settingsLink };
    Object.assign(this.settingsLink, { known: true, link: path });
    const look = await this.lookAgain();
    if (look.settings !== null) return look;
    Object.assign(this.settingsLink, before);
    this.seen = null;
    return null;
  }

  private async readSystem(): Promise<Omit<Look, "settings">> {
    const id = await this.id();
    const found = this.found;
    this.found = null;
    const body = found ?? (await this.client.system(id).catch((error: unknown) => this.explainMissing(error, id)));
    const system = System.parse(body);
    if (this.system === null) await this.meet(await this.client.root(), system);
    this.refuseAnother(system);
    this.system = system;
    return { system, etag: entityTagOf(body.Etag) ?? system["@odata.etag"], inCollection: found !== null };
  }

  private async meet(root: ServiceRoot, system: System): Promise<void> {
    const made = {
      manufacturer: system.Manufacturer,
      model: system.Model,
      vendor: root.Vendor ?? Object.keys(root.Oem)[0] ?? null,
    };
    const facts = { ...made, firmware: needsFirmware(made) ? await this.firmware(system) : null };
    const { dialect, quirks } = dialectOf(facts);
    this.dialect = dialect;
    this.log.debug({ ...facts, quirks }, "bmc met");
  }

  /** The BMC's firmware version; null where nobody says. A quirk is then applied by the maker alone. */
  private async firmware(system: System): Promise<string | null> {
    const [link] = system.Links.ManagedBy ?? [];
    if (link === undefined) return null;
    const answer = await this.client.get(link, [400, 404, 500, 501]).catch((error: unknown) => {
      if (error instanceof PitstopError && error.code !== "unreachable") return null;
      throw error;
    });
    return answer === null ? null : Manager.parse(answer.body).FirmwareVersion;
  }

  /** Each read shows the UUID again for nothing: an address that changed hands is noticed at once. */
  private refuseAnother(now: System): void {
    const was = this.identity?.uuid ?? null;
    if (was === null) return;
    const is = usableUuid(now.UUID);
    if (is === null || !sameUuid(was, is)) throw anotherMachine(this.at, was, is ?? "a system without a UUID");
    // A document that proved the machine by its MAC addresses has them compared apart.
    if (this.identity?.macs.length === 0) this.comparedAt = this.now();
  }

  /**
   * The settings resource, where the annotation names one and it holds the override. Some services annotate the
   * system for other reasons and take the override on the system itself: those are not asked again.
   */
  private async readSettings(system: System): Promise<Look["settings"]> {
    const link = this.settingsLink.known ? this.settingsLink.link : system["@Redfish.Settings"].SettingsObject;
    if (link === null) return null;
    const answer = await this.client.get(link, [404]);
    const settings = answer === null ? null : SettingsResource.parse(answer.body);
    const boot = settings?.Boot;
    const holds = boot !== undefined && WRITTEN.some((name) => hasProperty(boot, name));
    this.settingsLink.known = true;
    this.settingsLink.link = holds ? link : null;
    if (!holds || answer === null) return null;
    return { path: this.client.transport.pathOf(link), boot, etag: answer.etag ?? settings?.["@odata.etag"] ?? null };
  }

  private async onlySystem(): Promise<string> {
    const whole = await this.client.wholeSystems();
    const ids = whole?.map((system) => idOf(linkOf(system) ?? "")) ?? null;
    const known = ids ?? (await this.client.systemIds());
    const [only] = known;
    if (!only) {
      throw new PitstopError(
        "unreachable",
        `The BMC at ${this.at} shows no system; it may be starting. Try again later.`,
      );
    }
    if (known.length === 1) {
      this.found = whole?.[0] ?? null;
      return only;
    }
    throw new PitstopError(
      "invalid",
      `The BMC at ${this.at} has several systems (${known.slice(0, 16).join(", ")}); name one in control.redfish.system.`,
    );
  }

  private async explainMissing(error: unknown, id: string): Promise<never> {
    if (!(error instanceof PitstopError) || error.facts.status !== 404) throw error;
    const ids = await this.client.systemIds();
    if (ids.includes(id) || ids.length === 0) throw error;
    throw new PitstopError(
      "invalid",
      `The BMC at ${this.at} has no system ${JSON.stringify(id)}, but ${ids.slice(0, 16).join(", ")}; correct control.redfish.system.`,
      { cause: error },
    );
  }
}

const hasSettings = (system: System): boolean => system["@Redfish.Settings"].SettingsObject !== null;

/** The properties of `Boot` that Pitstop writes. */
const WRITTEN = [
  ...(["BootSourceOverrideEnabled", "BootSourceOverrideTarget", "BootSourceOverrideMode"] as const),
  ...(["HttpBootUri", "BootOrder"] as const),
];

/** Whether `Boot` shows the property, whatever its value: one that reads null, or of which only the list is there, is writable. */
export const hasProperty = ({ raw }: Boot, name: string): boolean =>
  typeof raw === "object" && raw !== null && (name in raw || `${name}@Redfish.AllowableValues` in raw);

/** DSP0268 PowerState has transitional values: on its way down it is not yet off, on its way up no longer off. */
const POWER: Record<string, PowerState> = {
  Off: "Off",
  On: "On",
  PoweringOn: "On",
  PoweringOff: "On",
  Paused: "On",
};

/** `powerOf` reads the power state; a word that DSP0268 does not have means nothing. */
export function powerOf(system: System): Reading<PowerState> {
  if (system.PowerState === null) {
    return unreadable("The BMC does not say whether the target is on; it may be starting. Try again later.");
  }
  return (
    POWER[system.PowerState] ??
    unreadable(`The BMC says that the target is ${JSON.stringify(system.PowerState.slice(0, 40))}, neither on nor off.`)
  );
}

/** Boot properties may be missing on the system where its settings resource has them. */
export const bootListOf = (
  { system, settings }: Look,
  name: keyof Boot & `${string}AllowableValues`,
): string[] | null => system.Boot[name] ?? settings?.boot[name] ?? null;

/** Whether the system, or its settings resource, has the property. */
export const inBoot = ({ system, settings }: Look, name: string): boolean =>
  hasProperty(system.Boot, name) || (settings !== null && hasProperty(settings.boot, name));

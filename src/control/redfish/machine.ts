import { setTimeout as delay } from "node:timers/promises";
import { PitstopError } from "../../domain/errors.js";
import type { BootOverride, PowerState } from "../../domain/snapshot.js";
import type { Target } from "../../domain/target.js";
import type { JsonObject } from "../json.js";
import { type Log, silent } from "../log.js";
import { type Dialect, STANDARD } from "../quirks/quirk.js";
import { dialectOf } from "../quirks/quirks.js";
import type { RedfishClient } from "./client.js";
import { sameUuid, usableUuid } from "./identity.js";
import { type Boot, entityTagOf, linkOf, type ServiceRoot, SettingsResource, System } from "./resources.js";

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
  private readonly settingsLink: { known: boolean; link: string | null } = { known: false, link: null };
  private systemId: string | null = null;
  private system: System | null = null;
  /** The only system, as the collection showed it a moment ago. */
  private found: JsonObject | null = null;
  private seen: { look: Look; at: number } | null = null;

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

  /** As {@link look}, with the entity tag that a change needs. */
  async lookToChange(): Promise<Look> {
    const look = await this.look();
    return look.inCollection && look.etag === null ? await this.lookAgain() : look;
  }

  /** The system as it is now, read now. */
  async lookAgain(): Promise<Look> {
    const read = await this.readSystem();
    const look: Look = { ...read, settings: await this.readSettings(read.system) };
    this.seen = { look, at: this.now() };
    return look;
  }

  /** The system's paths and capabilities as last read, whenever that was; its values may be old. */
  async capabilities(): Promise<System> {
    return this.system ?? (await this.look()).system;
  }

  /** The power alone: one request. */
  async power(): Promise<PowerState> {
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
  }

  private async readSystem(): Promise<Omit<Look, "settings">> {
    const id = await this.id();
    const found = this.found;
    this.found = null;
    const body = found ?? (await this.client.system(id).catch((error: unknown) => this.explainMissing(error, id)));
    const system = System.parse(body);
    if (this.system === null) this.meet(await this.client.root(), system);
    else this.refuseAnother(this.system, system);
    this.system = system;
    return { system, etag: entityTagOf(body.Etag) ?? system["@odata.etag"], inCollection: found !== null };
  }

  private meet(root: ServiceRoot, system: System): void {
    const facts = {
      manufacturer: system.Manufacturer,
      model: system.Model,
      vendor: root.Vendor ?? Object.keys(root.Oem)[0] ?? null,
    };
    const { dialect, quirks } = dialectOf(facts);
    this.dialect = dialect;
    this.log.debug({ ...facts, quirks }, "bmc met");
  }

  /** Each read shows the UUID again for nothing: an address that changed hands is noticed. Some show none while off. */
  private refuseAnother(before: System, now: System): void {
    const [was, is] = [usableUuid(before.UUID), usableUuid(now.UUID)];
    if (was === null || is === null || sameUuid(was, is)) return;
    throw new PitstopError(
      "refused",
      `The system at ${this.at} was ${was} and is now ${is}: another machine answers there. Nothing more is done to it.`,
    );
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
    const holds =
      boot !== undefined && (boot.BootSourceOverrideEnabled !== null || boot.BootSourceOverrideTarget !== null);
    this.settingsLink.known = true;
    this.settingsLink.link = holds ? link : null;
    if (!holds || answer === null) return null;
    return { path: this.client.transport.pathOf(link), boot, etag: answer.etag ?? settings?.["@odata.etag"] ?? null };
  }

  private async onlySystem(): Promise<string> {
    const whole = await this.client.wholeSystems();
    const ids = whole?.map((system) => linkOf(system)?.split("/").filter(Boolean).at(-1) ?? "") ?? null;
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
      return decoded(only);
    }
    throw new PitstopError(
      "invalid",
      `The BMC at ${this.at} has several systems (${known.slice(0, 16).join(", ")}); name one in control.redfish.system.`,
    );
  }

  private async explainMissing(error: unknown, id: string): Promise<never> {
    if (!(error instanceof PitstopError) || error.facts.status !== 404) throw error;
    const ids = await this.client.systemIds();
    throw new PitstopError(
      "invalid",
      `The BMC at ${this.at} has no system ${JSON.stringify(id)}, but ${ids.slice(0, 16).join(", ")}; correct control.redfish.system.`,
      { cause: error },
    );
  }
}

/** An Id as its link has it; where its escapes are none, the text is the Id. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const hasSettings = (system: System): boolean => system["@Redfish.Settings"].SettingsObject !== null;

/** DSP0268 PowerState has transitional values: on its way down it is not yet off, on its way up no longer off. */
export function powerOf(system: System): PowerState {
  if (system.PowerState === "Off") return "Off";
  if (system.PowerState === null) {
    throw new PitstopError(
      "unreachable",
      "The BMC does not say whether the target is on; it may be starting. Try again later.",
    );
  }
  return "On";
}

/** The override that the next boot will obey: what is pending in the settings resource, else what is set. */
export function overrideOf({ system, settings }: Look): BootOverride {
  const pending = settings !== null && enabledOf(settings.boot) !== "Disabled" ? settings.boot : null;
  const boot = pending ?? system.Boot;
  const mode = boot.BootSourceOverrideMode ?? system.Boot.BootSourceOverrideMode;
  return {
    enabled: enabledOf(boot),
    target: boot.BootSourceOverrideTarget,
    mode: mode === "UEFI" || mode === "Legacy" ? mode : null,
    httpBootUri: boot.HttpBootUri,
  };
}

function enabledOf(boot: Boot): BootOverride["enabled"] {
  const enabled = boot.BootSourceOverrideEnabled;
  return enabled === "Once" || enabled === "Continuous" ? enabled : "Disabled";
}

/** Boot properties may be missing on the system where its settings resource has them. */
export const bootListOf = (
  { system, settings }: Look,
  name: keyof Boot & `${string}AllowableValues`,
): string[] | null => system.Boot[name] ?? settings?.boot[name] ?? null;

/** What a quirk is chosen by, as the machine says it itself. */
export interface MachineFacts {
  manufacturer: string | null;
  model: string | null;
  /** The BMC's vendor by the service root: `Vendor`, else the name of its `Oem` section. */
  vendor: string | null;
  /** The BMC's FirmwareVersion (DSP0268 Manager); null where nobody asked, or nobody says. */
  firmware: string | null;
}

/** How a machine wants to be spoken to. Every field has the value of a service that follows DSP0266 and DSP0268. */
export interface Dialect {
  /** Which override properties a PATCH carries: all of them, or only those that change. */
  overrideProperties: "all" | "changed";
  /** Whether `BootSourceOverrideMode` may be written at all. */
  overrideMode: "written" | "read-only";
  /**
   * What `BootSourceOverrideTarget` is in a PATCH that disables the override. `as-it-is`: None may be refused; it is asked for once,
   * when the override is disabled. `stays`: the target is never None again.
   */
  disarmTarget: "None" | "as-it-is" | "stays";
  /** Values that `BootSourceOverrideEnabled` can take, where the machine does not say so itself. */
  enabledValues: readonly string[];
  /** Override targets that boot virtual media, best first. */
  mediaTargets: readonly string[];
  /** What InsertMedia takes besides the image's address. */
  insertBody: "full" | "image-only";
  /** Whether a drive that says it is empty may be told to eject. */
  ejectEmptyDrive: "allowed" | "fails";
  /** Characters that a medium's address must not have. */
  mediaUrlWithout: string;
  /** A refused change may have been made all the same: the read-back decides. */
  refusal: "believed" | "read-back-decides";
  /** Message ids that say «not now», and 409 where it does. */
  notNowMessages: readonly string[];
  notNowConflict: boolean;
  /** Whether a boot resource may be missing (404) until its parent was read. */
  parentFirst: boolean;
}

export const STANDARD: Dialect = {
  // The whole object: AMI and ASRock Rack demand mode, enabled and target every time, and most take it.
  overrideProperties: "all",
  overrideMode: "written",
  disarmTarget: "None",
  enabledValues: ["Disabled", "Once", "Continuous"],
  mediaTargets: ["Cd", "UsbCd"],
  insertBody: "full",
  ejectEmptyDrive: "allowed",
  mediaUrlWithout: "",
  refusal: "believed",
  notNowMessages: [],
  notNowConflict: false,
  parentFirst: false,
};

/** One oddity of one vendor, beside where it was seen. Chosen by data; the main path never asks who made a machine. */
export interface Quirk {
  name: string;
  vendor: string;
  /** Firmware or generation on which it was seen. */
  firmware: string;
  symptom: string;
  /** Where it is told: a repository's thread or file. */
  source: string;
  /** `version`: the FirmwareVersions that the source tells of. A machine that does not tell its version is taken at its maker's word. */
  where: { maker: RegExp; model?: RegExp; notModel?: RegExp; version?: RegExp };
  dialect: Partial<Dialect>;
}

export function applies({ where }: Quirk, facts: MachineFacts): boolean {
  if (!isMadeBy(where.maker, facts)) return false;
  const model = facts.model ?? "";
  if (where.model !== undefined && !where.model.test(model)) return false;
  if (where.version !== undefined && facts.firmware !== null && !where.version.test(facts.firmware)) return false;
  return where.notModel === undefined || !where.notModel.test(model);
}

export const isMadeBy = (maker: RegExp, { manufacturer, vendor }: Pick<MachineFacts, "manufacturer" | "vendor">) =>
  [manufacturer, vendor].some((name) => name !== null && maker.test(name));

import { z } from "zod";
import { readingOf } from "./reading.js";

export const PowerState = z.enum(["On", "Off"]);
export type PowerState = z.infer<typeof PowerState>;

/** The one-time or continuous boot override, as the control reports it (Redfish ComputerSystem.Boot). */
export const BootOverride = z.object({
  enabled: z.enum(["Disabled", "Once", "Continuous"]),
  /** Means nothing while `enabled` is Disabled: BMCs leave stale targets behind. */
  target: z.string().nullable(),
  mode: z.enum(["UEFI", "Legacy"]).nullable(),
  httpBootUri: z.string().nullable(),
});
export type BootOverride = z.infer<typeof BootOverride>;

/** One entry of the boot order. Two entries are the same by device path (else by name), never by Boot#### number. */
export const BootOrderEntry = z.object({
  reference: z.string(),
  name: z.string().nullable(),
  devicePath: z.string().nullable(),
});
export type BootOrderEntry = z.infer<typeof BootOrderEntry>;

export const MediaSlot = z.object({
  /** `@odata.id` of the slot. */
  slot: z.string(),
  inserted: z.boolean(),
  image: z.string().nullable(),
  /** DSP0268 VirtualMedia.VerifyCertificate; null or missing where the slot does not tell. */
  verifyCertificate: z.boolean().nullish(),
});
export type MediaSlot = z.infer<typeof MediaSlot>;

/** What the target's own system said of itself. `strong` needs both ids. */
export const HomeAnswer = z.object({
  check: z.string(),
  answered: z.boolean(),
  machineId: z.string().nullable(),
  bootId: z.string().nullable(),
  hostKey: z.string().nullable(),
  /** Further facts of a JSON answer (scalars only), for example a boot counter. */
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  reason: z.string().nullable(),
});
export type HomeAnswer = z.infer<typeof HomeAnswer>;

/**
 * The boot state, one reading for each section. The control that read a section compares and restores it; everyone else
 * reads `power` and shows the rest.
 */
export const BootState = z.object({
  readAt: z.string(),
  /** The kind of control that owns the sections, for example `redfish`. */
  control: z.string(),
  power: readingOf(PowerState),
  override: readingOf(BootOverride),
  bootOrder: readingOf(z.array(BootOrderEntry)),
  media: readingOf(z.array(MediaSlot)),
  secureBoot: readingOf(z.boolean()),
});
export type BootState = z.infer<typeof BootState>;

/** The boot state captured before the first change, with whom it belongs to. */
export const BootSnapshot = z.object({
  target: z.string(),
  session: z.string(),
  takenAt: z.string(),
  identity: z.object({
    serviceUuid: z.string().nullable(),
    systemUuid: z.string().nullable(),
    system: z.string(),
    manufacturer: z.string().nullable(),
    model: z.string().nullable(),
    /** The document's MAC addresses that proved the machine; empty where its UUID did. */
    macs: z.array(z.string()),
  }),
  state: BootState,
  /** Answers of the home checks before departure; empty for a target that was off. */
  home: z.array(HomeAnswer),
});
export type BootSnapshot = z.infer<typeof BootSnapshot>;

/** A field that is not as it was. `added` entries of the boot order are told apart: firmware adds some by itself. */
export const Difference = z.object({ field: z.string(), before: z.unknown(), after: z.unknown() });
export type Difference = z.infer<typeof Difference>;

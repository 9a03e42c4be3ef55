import { z } from "zod";

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

export const BootState = z.object({
  readAt: z.string(),
  power: PowerState,
  override: BootOverride,
  bootOrder: z.array(BootOrderEntry),
  media: z.array(MediaSlot),
  secureBoot: z.boolean().nullable(),
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
  }),
  state: BootState,
  /** Answers of the home checks before departure; empty for a target that was off. */
  home: z.array(HomeAnswer),
});
export type BootSnapshot = z.infer<typeof BootSnapshot>;

/** A field that is not as it was. `added` entries of the boot order are told apart: firmware adds some by itself. */
export const Difference = z.object({ field: z.string(), before: z.unknown(), after: z.unknown() });
export type Difference = z.infer<typeof Difference>;

/** By what an entry of the boot order is the same as another. */
export const bootOrderKey = (entry: BootOrderEntry): string => entry.devicePath ?? entry.name ?? entry.reference;

/** Compares field by field (promise 7). An empty list: the target's boot state is as it was. */
export function compareBootState(before: BootState, after: BootState): { differences: Difference[]; added: string[] } {
  const differences: Difference[] = [];
  const differ = (field: string, a: unknown, b: unknown) => {
    if (JSON.stringify(a) !== JSON.stringify(b)) differences.push({ field, before: a, after: b });
  };
  differ("power", before.power, after.power);
  differ("override.enabled", before.override.enabled, after.override.enabled);
  if (before.override.enabled !== "Disabled") {
    differ("override.target", before.override.target, after.override.target);
    differ("override.mode", before.override.mode, after.override.mode);
    differ("override.httpBootUri", before.override.httpBootUri, after.override.httpBootUri);
  }
  const known = new Set(before.bootOrder.map(bootOrderKey));
  const added = after.bootOrder.map(bootOrderKey).filter((key) => !known.has(key));
  differ(
    "bootOrder",
    before.bootOrder.map(bootOrderKey),
    after.bootOrder.map(bootOrderKey).filter((key) => known.has(key)),
  );
  const media = (state: BootState) =>
    state.media
      .map((m) => ({ slot: m.slot, image: m.inserted ? m.image : null }))
      .sort((a, b) => a.slot.localeCompare(b.slot));
  differ("media", media(before), media(after));
  differ("secureBoot", before.secureBoot, after.secureBoot);
  return { differences, added };
}

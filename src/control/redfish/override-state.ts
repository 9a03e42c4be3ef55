import { ABSENT, type Reading, unreadable } from "../../domain/reading.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { Comparison } from "../control.js";
import type { JsonObject } from "../json.js";
import { hasProperty, inBoot, type Look } from "./machine.js";
import type { Boot } from "./resources.js";

/** The properties of ComputerSystem.Boot (DSP0268) that make the override. */
export const ENABLED = "BootSourceOverrideEnabled";
export const TARGET = "BootSourceOverrideTarget";
export const MODE = "BootSourceOverrideMode";
export const URI = "HttpBootUri";
export const PROPERTIES = [ENABLED, TARGET, MODE, URI] as const;
export const TARGETS = `${TARGET}@Redfish.AllowableValues` as const;
export const ENABLED_VALUES = `${ENABLED}@Redfish.AllowableValues` as const;
export const MODES = `${MODE}@Redfish.AllowableValues` as const;

/** `hasOverride` tells whether the machine has an override at all, whatever it reads. */
export const hasOverride = (look: Look): boolean => inBoot(look, ENABLED) || inBoot(look, TARGET);

/**
 * `readOverride` reads the override that the next boot will obey: what is pending in the settings resource, else what is set.
 * `Enabled` without a target is nothing pending, so it reads as Disabled.
 */
export function readOverride(look: Look): Reading<BootOverride> {
  const garbled = garbledIn(look.system.Boot) ?? (look.settings === null ? null : garbledIn(look.settings.boot));
  if (garbled !== null) return unreadable(garbled);
  if (!hasOverride(look)) return ABSENT;
  const boot = bootThatCounts(look);
  const mode = boot.BootSourceOverrideMode ?? look.system.Boot.BootSourceOverrideMode;
  return {
    enabled: enabledOf(boot),
    target: boot.BootSourceOverrideTarget,
    mode: mode === "UEFI" || mode === "Legacy" ? mode : null,
    httpBootUri: boot.HttpBootUri,
  };
}

/** What is pending in the settings resource counts before what the system shows. */
export function bootThatCounts({ system, settings }: Look): Boot {
  if (settings === null) return system.Boot;
  const isShownBySystem = hasProperty(system.Boot, ENABLED) || hasProperty(system.Boot, TARGET);
  return enabledOf(settings.boot) !== "Disabled" || !isShownBySystem ? settings.boot : system.Boot;
}

/** The words of DSP0268 ComputerSystem.BootSourceOverrideEnabled; some services show an empty text for Disabled. */
const ENABLED_WORDS = ["Disabled", "Once", "Continuous", ""];

/** Why the override means nothing as it is shown; null where it does. */
function garbledIn({ raw }: Boot): string | null {
  if (raw === undefined || raw === null) return null;
  if (typeof raw !== "object" || Array.isArray(raw)) return `Boot is ${shortly(raw)}, not an object`;
  const shown = raw as JsonObject;
  for (const name of PROPERTIES) {
    const value = shown[name] ?? null;
    if (value !== null && typeof value !== "string") return `Boot.${name} is ${shortly(value)}, not a text`;
  }
  const enabled = shown[ENABLED] ?? "Disabled";
  if (ENABLED_WORDS.includes(String(enabled))) return null;
  return `Boot.${ENABLED} is ${shortly(enabled)}, which Redfish does not have`;
}

const shortly = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? "nothing";

/** `namedTarget` reads a target that names nothing (None, or an empty text) as null. */
export const namedTarget = (target: string | null): string | null =>
  target === "None" || target === "" ? null : target;

/** An override without a target is none, whatever `Enabled` says. */
function enabledOf(boot: Boot): BootOverride["enabled"] {
  const enabled = boot.BootSourceOverrideEnabled;
  if (namedTarget(boot.BootSourceOverrideTarget) === null) return "Disabled";
  return enabled === "Once" || enabled === "Continuous" ? enabled : "Disabled";
}

/** `judged` takes an override without a target for none. */
export const judged = (override: BootOverride): BootOverride =>
  namedTarget(override.target) === null ? { ...override, enabled: "Disabled" } : override;

/** Whether `is` does what `wanted` says. A disabled override's target means nothing. */
export function sameOverride(given: BootOverride, shown: BootOverride): boolean {
  const [wanted, is] = [judged(given), judged(shown)];
  if (wanted.enabled !== is.enabled) return false;
  if (wanted.enabled === "Disabled") return true;
  const mode = wanted.mode === null || is.mode === null || wanted.mode === is.mode;
  const uri = wanted.target !== "UefiHttp" || wanted.httpBootUri === is.httpBootUri;
  return wanted.target === is.target && mode && uri;
}

/** `compareOverrides` compares field by field; the boot mode too, which some firmware keeps when the override is spent. */
export function compareOverrides(given: BootOverride, shown: BootOverride): Comparison {
  const [before, after] = [judged(given), judged(shown)];
  const fields: (keyof BootOverride)[] =
    before.enabled === "Disabled" ? ["enabled"] : ["enabled", "target", "httpBootUri"];
  const differences = fields
    .filter((field) => before[field] !== after[field])
    .map((field) => ({ field: `override.${field}`, before: before[field], after: after[field] }));
  if (otherMode(before, after)) differences.push({ field: "override.mode", before: before.mode, after: after.mode });
  return { differences, added: [] };
}

/** Whether both tell their mode, and not the same one. */
export const otherMode = (a: BootOverride, b: BootOverride): boolean =>
  a.mode !== null && b.mode !== null && a.mode !== b.mode;

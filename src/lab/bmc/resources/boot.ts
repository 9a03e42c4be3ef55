import { z } from "zod";
import { messageOf } from "../../../domain/errors.js";
import type { LabMachine } from "../../machine.js";
import type { FaultSet } from "../faults/index.js";
import { refuse } from "../messages.js";
import { type BmcParts, type Json, link, type Patch, patchOf, SYSTEM } from "../resource.js";
import { OVERRIDE_TARGETS, type Override } from "../state.js";

/** What the machine's firmware can be told to boot. */
const targetsOf = (machine: LabMachine) =>
  OVERRIDE_TARGETS.filter((target) => target !== "UefiHttp" || machine.firmware === "uefi");
const modeOf = (machine: LabMachine) => (machine.firmware === "uefi" ? "UEFI" : "Legacy");
const HttpUri = z.url({ protocol: /^https?$/ }).max(2048);
const ENABLED = ["Disabled", "Once", "Continuous"] as const;
const enabledOf = (faults: FaultSet) => ENABLED.filter((one) => one !== "Once" || !faults.knowsNoOnce);

/** ComputerSystem.Boot (DSP0268). */
export async function describeBoot({ machine, state, faults }: BmcParts): Promise<Json> {
  const { override } = state.current;
  return {
    BootSourceOverrideEnabled: override.enabled,
    "BootSourceOverrideEnabled@Redfish.AllowableValues": enabledOf(faults),
    BootSourceOverrideTarget: override.target,
    "BootSourceOverrideTarget@Redfish.AllowableValues": targetsOf(machine),
    BootSourceOverrideMode: modeOf(machine),
    "BootSourceOverrideMode@Redfish.AllowableValues": [modeOf(machine)],
    ...(machine.firmware === "uefi" ? { HttpBootUri: override.httpBootUri } : {}),
    BootOptions: link(`${SYSTEM}/BootOptions`),
    BootOrder: await machine.bootOrder(),
  };
}

/** The mode has one value only, and HttpBootUri means something under UEFI only. */
const bootSchema = ({ machine, faults }: BmcParts) =>
  z.strictObject({
    BootSourceOverrideEnabled: z.enum(enabledOf(faults)).optional(),
    BootSourceOverrideTarget: z.enum(targetsOf(machine)).optional(),
    BootSourceOverrideMode: z.enum([modeOf(machine)]).optional(),
    HttpBootUri: machine.firmware === "uefi" ? HttpUri.nullish() : z.null().optional(),
    BootOrder: z.array(z.string().max(64)).max(64).optional(),
  });

/** All that PATCH may change of the system. `inSettings`: Boot is changed elsewhere, and is read-only here. */
export function systemPatch(parts: BmcParts, inSettings: boolean): Patch {
  const schema = z.strictObject({
    ...(inSettings ? {} : { Boot: bootSchema(parts) }),
    AssetTag: z.string().max(63),
    PowerRestorePolicy: z.enum(["AlwaysOn", "AlwaysOff", "LastState"]),
  });
  return patchOf(schema, async ({ Boot: boot, AssetTag, PowerRestorePolicy }) => {
    if (boot) await writeBoot(parts, boot);
    if (AssetTag !== undefined) await parts.state.update({ assetTag: AssetTag });
    if (PowerRestorePolicy) await parts.state.update({ powerRestorePolicy: PowerRestorePolicy });
  });
}

/** The change of Boot alone, for the Settings resource. */
export function bootPatch(parts: BmcParts): Patch {
  return patchOf(z.strictObject({ Boot: bootSchema(parts) }), async ({ Boot: boot }) => {
    if (boot) await writeBoot(parts, boot);
  });
}

async function writeBoot(parts: BmcParts, boot: BootChange): Promise<void> {
  const override = overrideAfter(parts.state.current.override, boot);
  if (boot.BootOrder) await writeBootOrder(parts.machine, boot.BootOrder);
  if (override) await parts.state.update({ override });
}

type BootChange = {
  BootSourceOverrideEnabled?: Override["enabled"] | undefined;
  BootSourceOverrideTarget?: Override["target"] | undefined;
  HttpBootUri?: string | null | undefined;
  BootOrder?: string[] | undefined;
};

/** A property that was not given stays; disabling forgets target and URI. Undefined: the override was not spoken of. */
function overrideAfter(now: Override, change: BootChange): Override | undefined {
  const { BootSourceOverrideEnabled: enabled, BootSourceOverrideTarget: target, HttpBootUri: uri } = change;
  if (enabled === undefined && target === undefined && uri === undefined) return undefined;
  if (enabled === "Disabled") return { enabled, target: target ?? "None", httpBootUri: uri ?? null };
  const after: Override = {
    enabled: enabled ?? now.enabled,
    target: target ?? now.target,
    httpBootUri: uri === undefined ? now.httpBootUri : uri,
  };
  // The lab has no DHCP server that could name a URI.
  if (after.enabled !== "Disabled" && after.target === "UefiHttp" && after.httpBootUri === null) {
    throw refuse(400, "PropertyValueConflict", ["Boot/BootSourceOverrideTarget", "Boot/HttpBootUri"]);
  }
  return after;
}

/** Only while the machine is off: until then the variables are its firmware's. */
async function writeBootOrder(machine: LabMachine, order: string[]): Promise<void> {
  const now = await machine.bootOrder();
  if (JSON.stringify(now) === JSON.stringify(order)) return;
  if (machine.isOn()) throw refuse(409, "OperationNotAllowed");
  const known = new Set((await machine.bootOptions()).map((option) => option.reference));
  const wrong = order.find((reference) => !known.has(reference)) ?? (new Set(order).size < order.length ? order : null);
  if (wrong !== null) throw refuse(400, "PropertyValueError", ["Boot/BootOrder"], "#/Boot/BootOrder");
  try {
    await machine.setBootOrder(order);
  } catch (error) {
    throw refuse(409, "PropertyValueConflict", ["Boot/BootOrder", messageOf(error)], "#/Boot/BootOrder");
  }
}

import { isRetryable, PitstopError } from "../../domain/errors.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { BootChoice } from "../control.js";
import type { JsonObject } from "../json.js";
import type { Dialect } from "../quirks/quirk.js";
import { bootListOf, type Look, type Machine, overrideOf } from "./machine.js";
import { patchBoot } from "./patch.js";

const TARGETS = "BootSourceOverrideTarget@Redfish.AllowableValues";
const ENABLED = "BootSourceOverrideEnabled@Redfish.AllowableValues";
/** Some services answer a change before they show it. */
const READ_BACK_PAUSES_MS = [300, 1_000, 2_000];
/** A BMC that took a change and shows its old state shows the new one after so long: what field reports tell of takes seconds. */
const OLD_READING_MS = 15_000;

/** Ensures that the next boot is `choice`, once where the BMC can; see TargetControl.arm. */
export async function arm(machine: Machine, choice: BootChoice): Promise<BootOverride> {
  const look = await machine.lookToChange();
  const wanted: BootOverride = {
    enabled: "Once",
    target: targetFor(machine, look, choice),
    mode: machine.target.boot.firmware === "uefi" ? "UEFI" : "Legacy",
    httpBootUri: choice.via === "uefi-http" ? choice.uri : null,
  };
  const can = bootListOf(look, ENABLED) ?? machine.dialect.enabledValues;
  const mayContinue = machine.target.boot.allow.includes("continuous-override") && can.includes("Continuous");
  if (can.includes("Once")) {
    try {
      return await ensureOverride(machine, wanted);
    } catch (error) {
      if (!mayContinue || !(error instanceof PitstopError) || error.code !== "refused") throw error;
    }
  }
  if (mayContinue) return await ensureOverride(machine, { ...wanted, enabled: "Continuous" });
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC has no one-time boot override; allow a lasting one with continuous-override in boot.allow, ` +
      "where each boot asks the network first until the session has disarmed it, or use another control.",
  );
}

/**
 * Ensures that the override is `wanted`: reads, writes only a difference, reads back. `unsure`: a write of ours was not seen to be
 * done, and what is read may be from before it; so it is written whatever is read, where the service takes that, and read again
 * when no reading can be that old any more.
 */
export async function ensureOverride(machine: Machine, wanted: BootOverride, unsure = false): Promise<BootOverride> {
  const look = await machine.lookToChange();
  const before = overrideOf(look);
  if (sameOverride(wanted, before)) {
    if (!unsure) return before;
    await writeAgain(machine, look, wanted);
    await machine.sleep(OLD_READING_MS);
    return await ensureOverride(machine, wanted);
  }
  const body = bodyFor(wanted, before, bootListOf(look, TARGETS), machine.dialect);
  const refusal = await refusalOf(patchBoot(machine, look, body, look.settings !== null));
  if (refusal !== null && !readBackDecides(machine, refusal)) throw refusal;
  const after = await readBack(machine, wanted, refusal === null ? READ_BACK_PAUSES_MS : []);
  if (sameOverride(wanted, after)) return after;
  if (refusal !== null) throw refusal;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC took the boot override ${inWords(wanted)} and still shows ${inWords(after)}; ` +
      "it ignores overrides. Use another way in boot.via, or update its firmware.",
  );
}

/** A service that refuses a change to what it shows already has nothing of ours hidden; one that may take it later is asked again. */
async function writeAgain(machine: Machine, look: Look, wanted: BootOverride): Promise<void> {
  const hidden: BootOverride = { enabled: "Once", target: null, mode: null, httpBootUri: null };
  const body = bodyFor(wanted, hidden, bootListOf(look, TARGETS), machine.dialect);
  const refusal = await refusalOf(patchBoot(machine, look, body, look.settings !== null));
  if (refusal !== null && isRetryable(refusal.code)) throw refusal;
}

/** Whether `is` does what `wanted` says. A disabled override's target and mode mean nothing. */
export function sameOverride(wanted: BootOverride, is: BootOverride): boolean {
  if (wanted.enabled !== is.enabled) return false;
  if (wanted.enabled === "Disabled") return true;
  const mode = wanted.mode === null || is.mode === null || wanted.mode === is.mode;
  const uri = wanted.target !== "UefiHttp" || wanted.httpBootUri === is.httpBootUri;
  return wanted.target === is.target && mode && uri;
}

/** The `Boot` object of the PATCH, as this machine wants it. */
export function bodyFor(
  wanted: BootOverride,
  before: BootOverride,
  targets: string[] | null,
  dialect: Dialect,
): JsonObject {
  const none = dialect.disarmTarget === "None" && (targets === null || targets.includes("None"));
  const target = wanted.enabled !== "Disabled" ? wanted.target : none ? "None" : before.target;
  const mode = dialect.overrideMode === "read-only" || before.mode === null ? null : (wanted.mode ?? before.mode);
  const all: JsonObject = {
    BootSourceOverrideEnabled: wanted.enabled,
    ...(target === null ? {} : { BootSourceOverrideTarget: target }),
    ...(mode === null ? {} : { BootSourceOverrideMode: mode }),
    // Several services refuse a PATCH that names a URI which they will not use.
    ...(wanted.enabled !== "Disabled" && target === "UefiHttp" ? { HttpBootUri: wanted.httpBootUri } : {}),
  };
  if (dialect.overrideProperties === "all") return all;
  const is: JsonObject = {
    BootSourceOverrideEnabled: before.enabled,
    BootSourceOverrideTarget: before.target,
    BootSourceOverrideMode: before.mode,
    HttpBootUri: before.httpBootUri,
  };
  return Object.fromEntries(Object.entries(all).filter(([name, value]) => is[name] !== value));
}

function targetFor(machine: Machine, look: Look, choice: BootChoice): string {
  const wanted = { pxe: ["Pxe"], "uefi-http": ["UefiHttp"], "virtual-media": machine.dialect.mediaTargets }[choice.via];
  const offered = bootListOf(look, TARGETS);
  const target = offered === null ? wanted[0] : wanted.find((one) => offered.includes(one));
  const hasOverride = offered !== null || look.system.Boot.BootSourceOverrideTarget !== null || look.settings !== null;
  if (target !== undefined && hasOverride) return target;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC cannot boot ${choice.via} by override ` +
      `(it offers ${offered === null ? "no override at all" : offered.join(", ")}); name another way in boot.via.`,
  );
}

async function readBack(machine: Machine, wanted: BootOverride, pausesMs: readonly number[]): Promise<BootOverride> {
  let after = overrideOf(await machine.lookAgain());
  for (const ms of pausesMs) {
    if (sameOverride(wanted, after)) break;
    await machine.sleep(ms);
    after = overrideOf(await machine.lookAgain());
  }
  return after;
}

const readBackDecides = (machine: Machine, refusal: PitstopError): boolean =>
  refusal.facts.socket !== undefined || (machine.dialect.refusal === "read-back-decides" && !isRetryable(refusal.code));

async function refusalOf(work: Promise<void>): Promise<PitstopError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof PitstopError && error.code !== "unauthorized") return error;
    throw error;
  }
}

const inWords = (override: BootOverride): string =>
  override.enabled === "Disabled"
    ? "Disabled"
    : [override.enabled, override.target, override.mode, override.httpBootUri].filter((one) => one !== null).join(" ");

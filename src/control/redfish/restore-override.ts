import { PitstopError } from "../../domain/errors.js";
import { isKnown } from "../../domain/reading.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { JsonObject } from "../json.js";
import { bootListOf, hasProperty, type Look, type Machine } from "./machine.js";
import { bodyFor, ensureOverride, isInSettings } from "./override.js";
import { judged, namedTarget, readOverride, sameOverride, TARGET, TARGETS, URI } from "./override-state.js";
import { patchBoot } from "./patch.js";
import type { Boot } from "./resources.js";

/**
 * `restoreOverride` ensures the override of the snapshot, and clears what a spent one still shows of the session: its target, and
 * the address of its image. Both mean nothing by then, so a refusal of that is a note. Gives notes.
 */
export async function restoreOverride(machine: Machine, to: BootOverride, unsure = false): Promise<string[]> {
  const { notes } = await ensureOverride(machine, to, { unsure });
  const left = leftIn(machine, await machine.look(), to);
  if (left === null) return notes;
  const look = await machine.lookToChange();
  try {
    await patchBoot(machine, look, left, isInSettings(look));
  } catch (error) {
    if (!(error instanceof PitstopError) || error.code === "unauthorized" || error.facts.identity === true) throw error;
  }
  const still = leftIn(machine, await machine.lookAgain(), to);
  if (still === null) return notes;
  const { BootSourceOverrideTarget: target, HttpBootUri: uri } = writableBoot(look);
  const shown = [target, uri].filter((one) => one !== null).join(" ");
  return [...notes, `${machine.target.name}'s BMC still shows ${shown}, which no boot uses any more.`];
}

/** The change that clears what is left; null where nothing is. */
function leftIn(machine: Machine, look: Look, given: BootOverride): JsonObject | null {
  const to = judged(given);
  const shown = readOverride(look);
  // What was taken for later is not seen yet.
  if (!isKnown(shown) || !sameOverride(to, shown)) return null;
  const is = writableBoot(look);
  const target = targetBack(machine, look, to);
  const isTargetLeft =
    to.enabled === "Disabled" && target !== null && namedTarget(is.BootSourceOverrideTarget) !== namedTarget(target);
  const isUriLeft = hasProperty(is, URI) && is.HttpBootUri !== to.httpBootUri;
  if (!isTargetLeft && !isUriLeft) return null;
  return {
    ...bodyFor(machine, look, to, is),
    ...(isTargetLeft ? { [TARGET]: target } : {}),
    ...(isUriLeft ? { [URI]: to.httpBootUri } : {}),
  };
}

/** The target that a disabled override had; None where it had none and the service offers that word. Null: as it is. */
function targetBack(machine: Machine, look: Look, to: BootOverride): string | null {
  const { disarmTarget } = machine.dialect;
  if (namedTarget(to.target) !== null) return disarmTarget === "None" ? null : to.target;
  const offersNone = bootListOf(look, TARGETS)?.includes("None") === true;
  return offersNone && disarmTarget !== "stays" ? "None" : null;
}

/** The `Boot` object that a change goes to. */
const writableBoot = (look: Look): Boot =>
  look.settings !== null && isInSettings(look) ? look.settings.boot : look.system.Boot;

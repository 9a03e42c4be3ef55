import { PitstopError } from "../domain/errors.js";
import type { Image } from "../domain/image.js";
import type { PlannedWay } from "../domain/session.js";
import type { BootVia, Target } from "../domain/target.js";
import { pxe } from "./pxe.js";
import { uefiHttp } from "./uefi-http.js";
import { virtualMedia } from "./virtual-media.js";
import { allowsLan, type PathFacts, refusalOf, type Way } from "./way.js";

/** Every boot way, by its name in `boot.via`. */
const WAYS: Record<BootVia, Way> = { pxe, "uefi-http": uefiHttp, "virtual-media": virtualMedia };

export const wayOf = (via: BootVia): Way => WAYS[via];

/** Before anything of the target or its site was looked at. */
const NOTHING_KNOWN: PathFacts = { bmcUrl: null, bmcVerifies: null };

/**
 * The ways by which the action may boot the image on the target, in the order of `boot.via`. A way that is less safe than the first one
 * is among them only by the owner's leave. Errors: `refused` where none remains.
 */
export function usableWays(target: Target, image: Image, action: { name: string; destructive: boolean }): PlannedWay[] {
  const named = [...new Set(target.boot.via)].map(wayOf);
  const misfits = named.map((way) => misfitOf(way, target, image));
  const fitting = named.filter((_, index) => misfits[index] === null);
  if (fitting.length === 0) throw new PitstopError("refused", misfits[0] ?? `${target.name} has no boot way.`);
  const graded = fitting.map((way) => way.grade(target, NOTHING_KNOWN));
  const refusals = graded.map((grade) => refusalOf(grade, action, target));
  const planned = fitting.map(({ via }, index): PlannedWay => ({ via, grade: graded[index]?.grade ?? "lan" }));
  const [first, ...others] = planned.filter((_, index) => refusals[index] === null);
  if (!first) throw refusals[0];
  const mayFallTo = (way: PlannedWay) => way.grade === "sealed" || first.grade === "lan" || allowsLan(target);
  return [first, ...others.filter(mayFallTo)];
}

function misfitOf(way: Way, target: Target, image: Image): string | null {
  if (way.forms.includes(image.form)) return way.misfit(target, image);
  return `${way.via} does not boot an image of the form ${image.form}, as ${image.name} is; give another way in boot.via of ${target.name}.`;
}

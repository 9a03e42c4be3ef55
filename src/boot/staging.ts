import { PitstopError } from "../domain/errors.js";
import type { Image, ImageFile } from "../domain/image.js";
import type { PlannedWay, SessionPlan } from "../domain/session.js";
import type { SiteEntry } from "../site/entry.js";
import type { SourceOptions } from "../stores/source.js";
import { refusalOf } from "../ways/way.js";
import { wayOf } from "../ways/ways.js";
import type { ImageCache } from "./cache.js";
import type { Media } from "./media.js";

const filesOf = (image: Image | null): ImageFile[] => (image ? [image.kernel, ...image.initrds] : []);

/**
 * Ensures that every file of the plan's image is in the cache with a matching digest, and the image's medium where the way publishes
 * one. A medium that cannot be made so fails before the target is armed for it. `onProgress` gets the bytes fetched so far.
 */
export async function stageImage(
  plan: SessionPlan,
  way: PlannedWay,
  to: { cache: ImageCache; media: Media; sources: SourceOptions },
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<{ fetchedBytes: number }> {
  let fetchedBytes = 0;
  for (const file of filesOf(plan.image)) {
    const before = fetchedBytes;
    const progress = (bytes: number) => onProgress(before + bytes);
    fetchedBytes += await to.cache.ensure(file, { ...to.sources, signal, onProgress: progress });
  }
  if (wayOf(way.via).publishes === "medium") await to.media.ensure(plan, signal);
  return { fetchedBytes };
}

/** `refused` for a destructive action whose way is not sealed at this site, whatever the plan supposed, unless the owner allows it. */
export function refuseUnsealed({ action, target }: SessionPlan, way: PlannedWay, bmcUrl: string): void {
  const refusal = refusalOf(wayOf(way.via).grade(target, { bmcUrl, bmcVerifies: null }), action, target);
  if (refusal !== null) throw refusal;
}

/** `conflict` where the image is not in the cache: an armed target would boot into nothing. */
export async function requireStaged(plan: SessionPlan, cache: ImageCache): Promise<void> {
  for (const file of filesOf(plan.image)) {
    if (await cache.has(file.sha256)) continue;
    throw new PitstopError("conflict", `The image ${plan.image?.name} is not staged at this site; stage it first.`);
  }
}

/** The digests that open entries need: their images' files, and their media. */
export const imagesInUse = (entries: SiteEntry[], media: Pick<Media, "digestFor"> | null): Set<string> =>
  new Set(
    entries.flatMap(({ plan, boot }) => [
      ...filesOf(plan.image).map((file) => file.sha256),
      ...(boot?.medium ? [boot.medium.sha256] : []),
      ...[media?.digestFor(plan) ?? []].flat(),
    ]),
  );

import { PitstopError } from "../domain/errors.js";
import type { Image, ImageFile } from "../domain/image.js";
import type { SessionPlan } from "../domain/session.js";
import type { SourceOptions } from "../stores/source.js";
import type { ImageCache } from "./cache.js";
import type { SiteEntry } from "./site.js";

const filesOf = (image: Image | null): ImageFile[] => (image ? [image.kernel, ...image.initrds] : []);

/** Ensures that every file of the plan's image is in the cache with a matching digest. `onProgress` gets the bytes fetched so far. */
export async function stageImage(
  plan: SessionPlan,
  to: { cache: ImageCache; sources: SourceOptions },
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<{ fetchedBytes: number }> {
  let fetchedBytes = 0;
  for (const file of filesOf(plan.image)) {
    const before = fetchedBytes;
    const progress = (bytes: number) => onProgress(before + bytes);
    fetchedBytes += await to.cache.ensure(file, { ...to.sources, signal, onProgress: progress });
  }
  return { fetchedBytes };
}

/** Refuses to arm a target before its image is here: it would boot into nothing. */
export async function requireStaged(plan: SessionPlan, cache: ImageCache): Promise<void> {
  for (const file of filesOf(plan.image)) {
    if (await cache.has(file.sha256)) continue;
    throw new PitstopError("conflict", `The image ${plan.image?.name} is not staged at this site; stage it first.`);
  }
}

/** The digests that open entries need. */
export const imagesInUse = (entries: SiteEntry[]): Set<string> =>
  new Set(entries.flatMap((entry) => filesOf(entry.plan.image).map((file) => file.sha256)));

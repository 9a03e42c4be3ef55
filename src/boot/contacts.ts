import { type Clock, iso } from "../site/clock.js";
import type { SiteBoot, SiteEntry } from "../site/entry.js";
import type { SessionLink } from "../site/session-link.js";

/** How far a boot came. Kept in memory and written with the entry's next save: it explains a boot without contact, and decides nothing. */

/** Notes that the last byte of a file went out. */
export function noteFetched(
  link: Pick<SessionLink, "progress">,
  entry: SiteEntry,
  boot: SiteBoot,
  name: string,
  now: Clock,
): void {
  if (name === "vmlinuz" && boot.kernelFetchedAt === null) {
    boot.kernelFetchedAt = iso(now());
    link.progress(entry, { what: "kernel-fetched" });
  }
  const last = `initrd${(entry.plan.image?.initrds.length ?? 0) - 1}`;
  if (name === last && boot.initrdFetchedAt === null) {
    boot.initrdFetchedAt = iso(now());
    link.progress(entry, { what: "initrd-fetched" });
  }
}

/**
 * Notes that the medium was read up to `end`. A BMC that streams reads what the firmware reads. A BMC that copies the medium
 * when it is inserted shows only that it has the medium.
 */
export function noteMediumRead(
  link: Pick<SessionLink, "progress">,
  entry: SiteEntry,
  boot: SiteBoot,
  end: number,
  now: Clock,
): void {
  const { medium } = boot;
  if (!medium) return;
  const reached = (part: { offset: number; bytes: number }): boolean => end >= part.offset + part.bytes - 1;
  boot.scriptFetchedAt ??= iso(now());
  if (reached(medium.kernel)) boot.kernelFetchedAt ??= iso(now());
  if (!reached(medium.lastInitrd) || boot.initrdFetchedAt !== null) return;
  boot.initrdFetchedAt = iso(now());
  link.progress(entry, { what: "medium-fetched" });
}

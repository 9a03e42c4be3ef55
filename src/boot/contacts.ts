import type { BootDiagnosis } from "../domain/session.js";
import { type Clock, iso } from "./clock.js";
import type { SessionLink, SiteBoot, SiteEntry } from "./site.js";

/**
 * Notes that the last byte of a file went out. Kept in memory and written with the entry's next save: it explains a boot
 * that made no contact, and nothing is decided by it.
 */
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

/** What was seen of the target's present boot. */
export function contactsOf(
  entry: SiteEntry | null,
): Pick<BootDiagnosis, "scriptFetched" | "kernelFetched" | "initrdFetched"> {
  return {
    scriptFetched: Boolean(entry?.boot?.scriptFetchedAt),
    kernelFetched: Boolean(entry?.boot?.kernelFetchedAt),
    initrdFetched: Boolean(entry?.boot?.initrdFetchedAt),
  };
}

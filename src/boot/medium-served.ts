import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { PitstopError } from "../domain/errors.js";
import type { Clock } from "../site/clock.js";
import type { ImageMedium, MintedNonce, SiteBoot, SiteEntry, SiteMedium } from "../site/entry.js";
import { sameSecret } from "../site/nonces.js";
import type { CachedFile } from "./cache.js";
import type { Served } from "./served.js";
import { type ArchiveFacts, sessionArchive } from "./session-archive.js";

const CHUNK_BYTES = 256 * 1024;

/**
 * The medium of one arming: the image's ISO with the session's archive in its slot. The archive is kept as it is here, so
 * that the bytes stay the same for as long as a BMC reads them, whatever is restarted or configured anew meanwhile.
 */
export function sessionMedium(
  entry: SiteEntry,
  boot: Pick<SiteBoot, "wasOff">,
  minted: MintedNonce,
  from: { made: ImageMedium; facts: ArchiveFacts },
): SiteMedium {
  const archive = sessionArchive(entry, boot, minted, from.facts);
  if (archive.length > from.made.slot.bytes) {
    throw new PitstopError(
      "refused",
      `The session's settings have ${archive.length} bytes, and a medium has room for ${from.made.slot.bytes}; shorten the site's CA file.`,
    );
  }
  return { ...from.made, archive: archive.toString("base64") };
}

/** The entry whose medium is below this path: from `publish` to `withdraw`, while the session is in time and its boot not revoked. */
export function mediumBelow(
  entries: SiteEntry[],
  path: { segment: string; file: string },
  now: Clock,
): { entry: SiteEntry; boot: SiteBoot; medium: SiteMedium } | null {
  let found: { entry: SiteEntry; boot: SiteBoot; medium: SiteMedium } | null = null;
  for (const entry of entries) {
    const boot = entry.boot;
    if (boot?.medium && sameSecret(boot.mediaSegment, path.segment)) found = { entry, boot, medium: boot.medium };
  }
  if (!found || found.boot.revoked || path.file !== mediumName(found.entry)) return null;
  return Date.parse(found.entry.absoluteDeadline) > now() ? found : null;
}

/** BMCs tell a medium's kind by its name. */
export const mediumName = (entry: SiteEntry): string => `${entry.plan.image?.name ?? "image"}.iso`;

/** The ISO with the archive laid over its slot. */
export function servedMedium(file: CachedFile, medium: SiteMedium): Served {
  const archive = Buffer.alloc(medium.slot.bytes);
  Buffer.from(medium.archive, "base64").copy(archive);
  const overlay = { offset: medium.slot.offset, bytes: archive };
  return {
    bytes: file.bytes,
    // Names these bytes as strictly as a digest over all of them would, without reading them once more.
    etag: createHash("sha256").update(`${medium.sha256} ${overlay.offset} `).update(archive).digest("hex"),
    type: "application/x-iso9660-image",
    read: (start, end) => {
      const stream = Readable.from(overlaid(file.handle, start, end, overlay));
      // A stream that is given up before it was read never enters its generator: the handle is closed here in any case.
      stream.once("close", () => void file.handle.close().catch(() => {}));
      return stream;
    },
    dispose: () => file.handle.close(),
  };
}

async function* overlaid(
  handle: FileHandle,
  start: number,
  end: number,
  over: { offset: number; bytes: Buffer },
): AsyncGenerator<Buffer> {
  for (let at = start; at <= end; ) {
    const length = Math.min(CHUNK_BYTES, end - at + 1);
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) throw new PitstopError("internal", "A medium became shorter while it was served.");
    const from = Math.max(at, over.offset);
    const to = Math.min(at + bytesRead, over.offset + over.bytes.length);
    if (from < to) over.bytes.copy(buffer, from - at, from - over.offset, to - over.offset);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

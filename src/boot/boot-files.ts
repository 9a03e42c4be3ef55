import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, pipeline, Readable } from "node:stream";
import { messageOf, PitstopError } from "../domain/errors.js";
import type { SiteBoot, SiteEntry } from "../site/entry.js";
import { digestFile } from "../stores/fetch-verified.js";
import type { CachedFile, ImageCache } from "./cache.js";
import { padded } from "./cpio.js";
import { type Served, servedBuffer } from "./served.js";
import { type ArchiveFacts, sessionArchive } from "./session-archive.js";

const CHUNK_BYTES = 256 * 1024;

/** What a nonce's folder has: `vmlinuz`, `initrd0`, `initrd1`, …, `session.cpio`. Null: no such file. */
export async function bootFile(
  name: string,
  of: { entry: SiteEntry; boot: SiteBoot; nonce: string },
  from: { cache: ImageCache; facts: ArchiveFacts },
): Promise<Served | null> {
  const image = of.entry.plan.image;
  if (!image) return null;
  if (name === "session.cpio") {
    const minted = of.boot.nonces.find((one) => one.nonce === of.nonce);
    if (!minted) return null;
    const bytes = sessionArchive(of.entry, of.boot, minted, from.facts);
    return servedBuffer(bytes, createHash("sha256").update(bytes).digest("hex"), "application/octet-stream");
  }
  if (name === "vmlinuz") return servedFile(await from.cache.openFile(image.kernel.sha256), false);
  const index = /^initrd(\d)$/.exec(name)?.[1];
  const initrd = index === undefined ? undefined : image.initrds[Number(index)];
  return initrd ? servedFile(await from.cache.openFile(initrd.sha256), true) : null;
}

/** A cached file; as an initrd it is followed by zeros up to the alignment that the kernel's EFI stub needs. */
function servedFile(file: CachedFile, asInitrd: boolean): Served {
  const bytes = asInitrd ? padded(file.bytes) : file.bytes;
  const read = (start: number, end: number): Readable => {
    if (end < file.bytes) return file.handle.createReadStream({ start, end, highWaterMark: CHUNK_BYTES });
    return withZeros(file, start, end);
  };
  return {
    bytes,
    etag: asInitrd ? file.paddedSha256 : file.sha256,
    type: "application/octet-stream",
    read,
    dispose: () => file.handle.close(),
  };
}

function withZeros(file: CachedFile, start: number, end: number): Readable {
  const zeros = Buffer.alloc(end - Math.max(start, file.bytes) + 1);
  const content =
    start < file.bytes
      ? file.handle.createReadStream({ start, end: file.bytes - 1, highWaterMark: CHUNK_BYTES })
      : Readable.from([]).on("close", () => void file.handle.close().catch(() => {}));
  const joined = new PassThrough({
    flush(done) {
      done(null, zeros);
    },
  });
  // The pipeline destroys the file's stream, and with it closes the handle, when the answer is given up.
  pipeline(content, joined, () => {});
  return joined;
}

/** iPXE as EFI programs, by the name under which they are asked for. */
export const EFI_PROGRAMS = ["ipxe.efi", "snponly.efi"] as const;

/** An EFI program of the distribution, read afresh for each request: its package may be upgraded under us. */
export async function efiProgram(folder: string, name: (typeof EFI_PROGRAMS)[number]): Promise<Served> {
  const path = join(folder, name);
  try {
    const { hash } = await digestFile(path);
    const handle = await open(path, "r");
    const { size } = await handle.stat();
    return {
      bytes: size,
      etag: hash.digest("hex"),
      // The type by which UEFI firmware tells a program (UEFI 2.10, section 24.7.3.2).
      type: "application/efi",
      read: (start, end) => handle.createReadStream({ start, end, highWaterMark: CHUNK_BYTES }),
      dispose: () => handle.close(),
    };
  } catch (error) {
    throw new PitstopError(
      "notFound",
      `${path} cannot be read (${messageOf(error)}); install iPXE (Debian: apt install ipxe) to boot targets over UEFI HTTP.`,
      { cause: error },
    );
  }
}

import type { FileHandle } from "node:fs/promises";
import { PitstopError } from "../domain/errors.js";

/** Where a file's bytes are in an ISO 9660 image. */
export interface Extent {
  offset: number;
  bytes: number;
}

const SECTOR = 2048;
/** The first volume descriptor (ECMA-119, section 6.7.1), which is the primary one in all that xorriso writes. */
const PRIMARY_DESCRIPTOR = 16 * SECTOR;
/** A root folder of our media has a dozen entries; anything much larger is not one of them. */
const MAX_FOLDER_BYTES = 64 * SECTOR;
const IS_FOLDER = 0x02;
const CONTINUES = 0x80;

/**
 * The files of the root folder by their names in lower case without version (ECMA-119, section 9.1). A file of several
 * extents counts as one where they follow each other without a gap, as xorriso writes them.
 */
export async function isoFiles(image: FileHandle): Promise<Map<string, Extent>> {
  const descriptor = await readAt(image, PRIMARY_DESCRIPTOR, SECTOR);
  if (descriptor.toString("latin1", 0, 6) !== "\x01CD001") throw notIso("it has no primary volume descriptor");
  const folder = extentOf(descriptor.subarray(156));
  if (folder.bytes > MAX_FOLDER_BYTES) throw notIso("its root folder is too large");
  const records = await readAt(image, folder.offset, folder.bytes);
  const files = new Map<string, Extent>();
  let continued: Extent | null = null;
  for (let at = 0; at < records.length; ) {
    const length = records.readUInt8(at);
    if (length === 0) {
      // A record does not cross a sector's end; what is left of the sector is zeros.
      at = (Math.floor(at / SECTOR) + 1) * SECTOR;
      continue;
    }
    const record = records.subarray(at, at + length);
    at += length;
    if (record.length < 34 || (record.readUInt8(25) & IS_FOLDER) !== 0) continue;
    const extent: Extent = extentOf(record);
    const joined: Extent = continued ? join(continued, extent) : extent;
    continued = (record.readUInt8(25) & CONTINUES) !== 0 ? joined : null;
    if (!continued) files.set(nameOf(record), joined);
  }
  return files;
}

/** Numbers are there in both byte orders; the little-endian one comes first. */
const extentOf = (record: Buffer): Extent => ({
  offset: record.readUInt32LE(2) * SECTOR,
  bytes: record.readUInt32LE(10),
});

const nameOf = (record: Buffer): string =>
  record
    .toString("latin1", 33, 33 + record.readUInt8(32))
    .replace(/;\d+$/, "")
    .replace(/\.$/, "")
    .toLowerCase();

function join(first: Extent, next: Extent): Extent {
  if (next.offset !== first.offset + first.bytes) throw notIso("a file of it has gaps");
  return { offset: first.offset, bytes: first.bytes + next.bytes };
}

async function readAt(image: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await image.read(Buffer.alloc(bytes), 0, bytes, offset);
  if (bytesRead < bytes) throw notIso("it is too short");
  return buffer;
}

const notIso = (why: string): PitstopError =>
  new PitstopError("internal", `The medium that was made is not an ISO 9660 image: ${why}.`);

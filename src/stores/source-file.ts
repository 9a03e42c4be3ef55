import { constants, type Stats } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { isAbsolute, join, normalize, sep } from "node:path";
import { PitstopError } from "../domain/errors.js";
import { DEFAULT_MAX_BYTES, type Source, type SourceOptions } from "./source.js";

const PREFIX = "file:images/";

/**
 * `file:images/…` sources: a path inside the image folder. Not allowed to leave it by `..`, by an absolute path or by a
 * symbolic link, and not allowed to be anything but a plain file: /dev/zero has no end, and a FIFO has no beginning.
 */
export async function openFileSource(url: string, options: SourceOptions): Promise<Source> {
  const relative = relativePath(url);
  const root = await realpath(options.root);
  let path: string;
  try {
    path = await realpath(join(root, relative));
  } catch {
    throw new PitstopError(
      "notFound",
      `There is no file ${relative} in the image folder ${options.root}; put it there.`,
    );
  }
  if (!path.startsWith(root + sep)) {
    throw new PitstopError(
      "refused",
      `${url} leaves the image folder ${options.root} by a link; copy the file into it.`,
    );
  }
  // O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = await handle.stat();
    refuseUnfit(url, facts, options.maxBytes ?? DEFAULT_MAX_BYTES);
    return { stream: streamOf(handle), bytes: facts.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function relativePath(url: string): string {
  if (!url.startsWith(PREFIX)) {
    throw new PitstopError("refused", `${url} is not in the image folder; a file: URL begins with ${PREFIX}.`);
  }
  let path: string;
  try {
    path = decodeURIComponent(url.slice(PREFIX.length));
  } catch {
    throw new PitstopError("invalid", `${url} is not a valid URL; escape a percent sign as %25.`);
  }
  const clean = normalize(path);
  if (isAbsolute(path) || clean === ".." || clean.startsWith(`..${sep}`) || path.includes("\0")) {
    throw new PitstopError("refused", `${url} leaves the image folder; a file: URL is a path inside of it.`);
  }
  return clean;
}

function refuseUnfit(url: string, facts: Stats, maxBytes: number): void {
  if (!facts.isFile()) throw new PitstopError("refused", `${url} is not a plain file; name a file.`);
  if (facts.size > maxBytes) {
    throw new PitstopError(
      "refused",
      `${url} has ${facts.size} bytes and the limit is ${maxBytes}; use a smaller image.`,
    );
  }
}

const streamOf = (handle: FileHandle) => handle.createReadStream({ highWaterMark: 256 * 1024 });

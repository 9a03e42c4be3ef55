import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { messageOf, PitstopError } from "../domain/errors.js";
import { writeAtomically } from "./atomic.js";
import { openSource } from "./open-source.js";
import { DEFAULT_MAX_BYTES, type SourceOptions } from "./source.js";

export interface FetchOptions extends SourceOptions {
  /** Called with the number of bytes received so far. */
  onProgress?: (bytes: number) => void;
  signal: AbortSignal;
}

/**
 * Fetches `url` to `destPath`, where the file appears only whole, fsynced and with the digest asked for; returns its size.
 * A mismatch is `refused` and names both digests. Memory is bounded by one chunk of the stream.
 */
export async function fetchVerified(
  url: string,
  sha256: string,
  destPath: string,
  options: FetchOptions,
): Promise<number> {
  let bytes = 0;
  await writeAtomically(destPath, async (handle) => {
    const hash = createHash("sha256");
    bytes = await receive(url, handle, hash, options);
    const got = hash.digest("hex");
    if (got !== sha256) {
      throw new PitstopError(
        "refused",
        `${url} has the sha256 ${got}, but the image says ${sha256}; correct the image's document or the file.`,
        { facts: { expected: sha256, actual: got } },
      );
    }
  });
  return bytes;
}

async function receive(url: string, handle: FileHandle, hash: Hash, options: FetchOptions): Promise<number> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const source = await openSource(url, options, options.signal);
  let bytes = 0;
  try {
    for await (const chunk of source.stream as AsyncIterable<Buffer>) {
      options.signal.throwIfAborted();
      bytes += chunk.byteLength;
      if (bytes > maxBytes) {
        throw new PitstopError("refused", `${url} has more than ${maxBytes} bytes; use a smaller image.`);
      }
      hash.update(chunk);
      await handle.writeFile(chunk);
      options.onProgress?.(bytes);
    }
  } catch (error) {
    if (error instanceof PitstopError || options.signal.aborted) throw error;
    throw new PitstopError("unreachable", `${url} broke off after ${bytes} bytes: ${messageOf(error)}.`, {
      cause: error,
    });
  } finally {
    source.stream.destroy();
  }
  if (source.bytes !== null && source.bytes !== bytes) {
    throw new PitstopError("unreachable", `${url} broke off after ${bytes} of ${source.bytes} bytes; fetch it again.`);
  }
  return bytes;
}

/** SHA-256 of a file and its size, in bounded memory. */
export async function digestFile(path: string): Promise<{ hash: Hash; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return { hash, bytes };
}

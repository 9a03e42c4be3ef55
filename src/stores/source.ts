import type { Readable } from "node:stream";

/** Bytes on their way from where an image URL points. */
export interface Source {
  stream: Readable;
  /** As announced, which is not yet as received; null where nothing was announced. */
  bytes: number | null;
}

export interface SourceOptions {
  /** The image folder: `file:images/NAME` is NAME in it, and may not leave it. */
  root: string;
  /** The most that is fetched for one file. Default 8 GiB: more than any image, less than most disks. */
  maxBytes?: number;
  /** Silence after which a remote source is given up. Default 60 s. */
  idleTimeoutMs?: number;
}

export const DEFAULT_MAX_BYTES = 8 * 1024 ** 3;

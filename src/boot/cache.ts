import type { Hash } from "node:crypto";
import type { Stats } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { PitstopError } from "../domain/errors.js";
import type { ImageFile } from "../domain/image.js";
import { ensureFolder, syncFolder, UNFINISHED } from "../stores/atomic.js";
import { digestFile, type FetchOptions, fetchVerified } from "../stores/fetch-verified.js";
import { INITRD_ALIGNMENT, padded } from "./cpio.js";

/** A cached file, opened and known to have the bytes of its digest. The caller closes the handle. */
export interface CachedFile {
  path: string;
  handle: FileHandle;
  bytes: number;
  sha256: string;
  /** Digest of the file followed by zeros up to a multiple of {@link INITRD_ALIGNMENT}: what an initrd is served as. */
  paddedSha256: string;
}

export interface CacheOptions {
  folder: string;
  /** The cache is kept at or below this by forgetting what was used longest ago. */
  maxBytes: number;
  /** Digests that an open entry needs: these are never forgotten, even when the cache is over its bound. */
  inUse: () => Set<string>;
}

/** What was verified, and how the file looked then: while it looks the same, its bytes are taken as the same. */
interface Verified {
  looks: string;
  paddedSha256: string;
}

const DIGEST = /^[0-9a-f]{64}$/;
const looksOf = (facts: Stats): string => `${facts.ino}:${facts.size}:${facts.mtimeMs}`;

/**
 * Image files by digest. A file is verified when it is fetched, before it is first served by this process, and again
 * whenever its inode, size or modification time is another: never an image whose bytes no longer match.
 */
export class ImageCache {
  readonly #options: CacheOptions;
  readonly #verified = new Map<string, Verified>();
  readonly #fetching = new Map<string, Promise<number>>();

  private constructor(options: CacheOptions) {
    this.#options = options;
  }

  static async open(options: CacheOptions): Promise<ImageCache> {
    await ensureFolder(options.folder);
    for (const name of await readdir(options.folder)) {
      if (name.startsWith(UNFINISHED)) await rm(join(options.folder, name), { force: true });
    }
    return new ImageCache(options);
  }

  /** Ensures that the file is here with a matching digest; returns the bytes fetched for it, 0 if it was here. */
  async ensure(file: ImageFile, options: FetchOptions): Promise<number> {
    // A fetch that another session began is waited for, and tried again when that session gave it up.
    for (;;) {
      const fetching = this.#fetching.get(file.sha256);
      if (!fetching) break;
      await fetching.catch(() => 0);
      options.signal.throwIfAborted();
    }
    const work = this.#ensure(file, options).finally(() => this.#fetching.delete(file.sha256));
    this.#fetching.set(file.sha256, work);
    return await work;
  }

  /** The file, verified; `notFound` where it is not here, or was and no longer matches (it is removed then). */
  async openFile(sha256: string): Promise<CachedFile> {
    let handle: FileHandle;
    try {
      handle = await open(this.#path(sha256), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new PitstopError("notFound", `The site has no file ${sha256}; stage the image again.`);
    }
    try {
      const { facts, paddedSha256 } = await this.#verify(sha256, handle);
      return { path: this.#path(sha256), handle, bytes: facts.size, sha256, paddedSha256 };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Takes a file that was made here, on the cache's file system, under its digest, which is returned. */
  async adopt(path: string): Promise<string> {
    const { hash } = await digestFile(path);
    const sha256 = hash.digest("hex");
    const handle = await open(path, "r");
    try {
      await handle.chmod(0o600);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(path, this.#path(sha256));
    await syncFolder(this.#options.folder);
    await this.#evict(sha256);
    return sha256;
  }

  /** Whether the file is here with the bytes of its digest; counts as a use of it. */
  async isThere(sha256: string): Promise<boolean> {
    try {
      const cached = await this.openFile(sha256);
      await cached.handle.close();
      await this.#touch(cached.path);
      return true;
    } catch (error) {
      if (error instanceof PitstopError && error.code === "notFound") return false;
      throw error;
    }
  }

  /** Whether the file is here. Its bytes are verified when it is opened. */
  async has(sha256: string): Promise<boolean> {
    try {
      return (await stat(this.#path(sha256))).isFile();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  async #ensure(file: ImageFile, options: FetchOptions): Promise<number> {
    if (await this.isThere(file.sha256)) return 0;
    const bytes = await fetchVerified(file.url, file.sha256, this.#path(file.sha256), options);
    await this.#evict(file.sha256);
    return bytes;
  }

  async #verify(sha256: string, handle: FileHandle): Promise<{ facts: Stats; paddedSha256: string }> {
    const facts = await handle.stat();
    const known = this.#verified.get(sha256);
    if (known?.looks === looksOf(facts)) return { facts, paddedSha256: known.paddedSha256 };
    const { hash, bytes } = await digestFile(this.#path(sha256));
    const paddedHash: Hash = hash.copy();
    paddedHash.update(Buffer.alloc(padded(bytes, INITRD_ALIGNMENT) - bytes));
    if (hash.digest("hex") !== sha256 || bytes !== facts.size) {
      this.#verified.delete(sha256);
      await rm(this.#path(sha256), { force: true });
      await syncFolder(this.#options.folder);
      throw new PitstopError("notFound", `The cached file ${sha256} had other bytes and was removed; stage it again.`);
    }
    const paddedSha256 = paddedHash.digest("hex");
    this.#verified.set(sha256, { looks: looksOf(facts), paddedSha256 });
    return { facts, paddedSha256 };
  }

  /** The access time is the time of last use; the modification time stays, because `#verify` goes by it. */
  async #touch(path: string): Promise<void> {
    const facts = await stat(path);
    await utimes(path, new Date(), facts.mtime);
  }

  async #evict(keep: string): Promise<void> {
    const needed = this.#options.inUse();
    const files: { name: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.#options.folder)) {
      if (!DIGEST.test(name)) continue;
      const facts = await stat(join(this.#options.folder, name));
      files.push({ name, bytes: facts.size, usedMs: facts.atimeMs });
    }
    let total = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= this.#options.maxBytes) return;
      if (file.name === keep || needed.has(file.name)) continue;
      await rm(join(this.#options.folder, file.name), { force: true });
      this.#verified.delete(file.name);
      total -= file.bytes;
    }
  }

  #path(sha256: string): string {
    if (!DIGEST.test(sha256)) throw new PitstopError("invalid", "A cached file is named by 64 lower-case hex digits.");
    return join(this.#options.folder, sha256);
  }
}

import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Files that begin so are unfinished writes of a process that died; readers pass over them. */
export const UNFINISHED = ".unfinished-";

/** A name beside `path`, on the same file system, that no other writer has. */
export function unfinishedPath(path: string): string {
  return join(dirname(path), `${UNFINISHED}${basename(path).slice(0, 80)}-${randomBytes(6).toString("hex")}`);
}

/**
 * Makes a rename, a new file or a removal in `folder` survive a loss of power: POSIX promises that for the
 * folder's entry only after an fsync of the folder itself.
 */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Fills a new file through `write` and puts it at `path` in one step: a reader sees the old bytes or all of the new
 * ones, whenever the process dies. Nothing is left behind when `write` throws.
 */
export async function writeAtomically(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
  options: { mode?: number; syncFolder?: boolean } = {},
): Promise<void> {
  const unfinished = unfinishedPath(path);
  try {
    const handle = await open(unfinished, "wx", options.mode ?? 0o600);
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  if (options.syncFolder !== false) await syncFolder(dirname(path));
}

/** Ensures the folder, private to this user. */
export async function ensureFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

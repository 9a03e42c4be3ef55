import { createHash } from "node:crypto";
import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PitstopError } from "../domain/errors.js";

/** All of a task's log (docs/agent-protocol.md). */
export const MAX_LOG_BYTES = 16 * 1024 * 1024;
const TRUNCATED = `\n[pitstop: the log was cut here, at ${MAX_LOG_BYTES} bytes]\n`;

/**
 * The logs of tasks while they run, one file per task, appended at the offset that the agent names. The pieces are not fsynced:
 * after a crash the answer names an earlier offset, and the agent sends again from there.
 */
export class TaskLogs {
  readonly #folder: string;
  readonly #appending = new Map<string, Promise<void>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Ignores what is there already; a gap is `conflict` with the offset to go on from; beyond the bound is `refused` (413). */
  async append(target: string, session: string, task: string, offset: number, piece: Buffer): Promise<void> {
    const path = this.#path(target, session, task);
    const before = this.#appending.get(path) ?? Promise.resolve();
    const work = before.catch(() => {}).then(() => append(path, offset, piece));
    this.#appending.set(path, work);
    try {
      await work;
    } finally {
      if (this.#appending.get(path) === work) this.#appending.delete(path);
    }
  }

  /** The whole log, with a note at its end where it was cut; null when there is none. */
  async read(target: string, session: string, task: string): Promise<Buffer | null> {
    try {
      const bytes = await readFile(this.#path(target, session, task));
      if (bytes.length === 0) return null;
      return bytes.length < MAX_LOG_BYTES ? bytes : Buffer.concat([bytes, Buffer.from(TRUNCATED)]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  async remove(target: string): Promise<void> {
    await rm(join(this.#folder, target), { recursive: true, force: true });
  }

  /** A session's id may be any text, so its folder is named by a digest; targets and tasks have safe names. */
  #path(target: string, session: string, task: string): string {
    const folder = createHash("sha256").update(session).digest("hex").slice(0, 32);
    return join(this.#folder, target, folder, `${task}.log`);
  }
}

async function append(path: string, offset: number, piece: Buffer): Promise<void> {
  const size = await sizeOf(path);
  if (offset > size) {
    throw new PitstopError("conflict", `The log has ${size} bytes so far; send it from there.`, {
      facts: { offset: size },
    });
  }
  const fresh = piece.subarray(size - offset);
  const fits = fresh.subarray(0, MAX_LOG_BYTES - size);
  if (fits.length > 0) {
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    const handle = await open(path, "a", 0o600);
    try {
      await handle.writeFile(fits);
    } finally {
      await handle.close();
    }
  }
  if (fits.length < fresh.length) {
    throw new PitstopError("refused", `A task's log has at most ${MAX_LOG_BYTES} bytes; send no more of it.`, {
      facts: { status: 413 },
    });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

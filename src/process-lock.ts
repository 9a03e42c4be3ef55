import { linkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { PitstopError } from "./domain/errors.js";
import { isRunning, type ProcessIdentity, readIdentity, thisProcess } from "./processes.js";

/**
 * Takes the lock file and returns its release. Guards what two processes on one folder would corrupt. A dead process's lock is
 * taken over; a living one's is a `conflict`, whose sentence says that `what` is in use, and to give this process `remedy`.
 */
export function takeLock(path: string, what: string, remedy: string): () => void {
  const mine = thisProcess();
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(mine), { mode: 0o600 });
  try {
    // Two rounds: the second follows the removal of a dead one's lock; losing it then means a living rival.
    for (let round = 0; round < 2; round++) {
      if (tryLink(draft, path)) return () => releaseLock(path, mine);
      const holder = readIdentity(path);
      if (holder && isRunning(holder)) throw taken(path, holder, what, remedy);
      removeDead(path, draft);
    }
    throw taken(path, readIdentity(path), what, remedy);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A hard link is made whole or not at all, so no process reads a half-written lock. */
function tryLink(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Moves the lock aside before deleting it: if a rival was quicker and it is a living one's, it is put back. */
function removeDead(path: string, draft: string): void {
  const aside = `${draft}.dead`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = readIdentity(aside);
  if (moved && isRunning(moved)) tryLink(aside, path);
  rmSync(aside, { force: true });
}

function releaseLock(path: string, mine: ProcessIdentity): void {
  const holder = readIdentity(path);
  if (holder?.pid === mine.pid && holder.started === mine.started) rmSync(path, { force: true });
}

function taken(path: string, holder: ProcessIdentity | null, what: string, remedy: string): PitstopError {
  const who = holder ? `process ${holder.pid}` : "another process";
  return new PitstopError(
    "conflict",
    `${what} is in use by ${who} (lock ${path}); stop that one, or give this one ${remedy}.`,
    { facts: { pid: holder?.pid ?? null } },
  );
}

import { existsSync, readFileSync } from "node:fs";
import { copyFile, stat, truncate } from "node:fs/promises";

/** A process among all that ever were: its id alone may have been given away again. */
export interface ProcessIdentity {
  pid: number;
  /** Start of the process in clock ticks since boot; null where there is no /proc. */
  started: string | null;
}

export const thisProcess = (): ProcessIdentity => ({ pid: process.pid, started: statOf(process.pid)?.started ?? null });

/** An identity kept as JSON; null where the file is gone, or was torn by a power loss, since which nobody lives. */
export function readIdentity(file: string): ProcessIdentity | null {
  try {
    const value = JSON.parse(readFileSync(file, "utf8")) as Partial<ProcessIdentity>;
    return typeof value.pid === "number" && value.pid > 0 ? { pid: value.pid, started: value.started ?? null } : null;
  } catch {
    return null;
  }
}

/** Whether that very process still runs. A zombie does not. */
export function isRunning({ pid, started }: ProcessIdentity): boolean {
  if (!takesSignals(pid)) return false;
  const now = statOf(pid);
  if (now === null) return true;
  return now.state !== "Z" && (started === null || now.started === started);
}

/**
 * Whether `pid` runs and was started with all of these words in its command line. Without /proc (not Linux) the words
 * cannot be compared, and a process that runs is taken for the one that is meant.
 */
export function runsAs(pid: number, words: readonly string[]): boolean {
  if (pid <= 0 || !takesSignals(pid)) return false;
  if (!existsSync("/proc/self")) return true;
  try {
    const given = commandLine(pid);
    return words.every((word) => given.includes(word)) && statOf(pid)?.state !== "Z";
  } catch {
    return false;
  }
}

/** The words that a process was started with. Throws where it is gone, or there is no /proc. */
export const commandLine = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");

function takesSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Fields 3 and 22 of /proc/PID/stat (proc(5)), counted after the command's name, which may hold spaces. */
function statOf(pid: number): { state: string; started: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", started: fields[19] ?? "" };
  } catch {
    return null;
  }
}

const MAX_LOG_BYTES = 64 * 1024 * 1024;

/**
 * Empties a log of more than 64 MiB and keeps the text before as `FILE.old`. The file is emptied in its place, because
 * the server that writes to it, adopted or not, keeps it open.
 */
export async function boundLog(file: string): Promise<void> {
  const facts = await stat(file).catch(() => null);
  if (facts === null || facts.size <= MAX_LOG_BYTES) return;
  // A full disk has no room for a copy, and needs this one's all the more.
  await copyFile(file, `${file}.old`).catch(() => undefined);
  await truncate(file);
}

/** The last line of a log as the tail of a sentence (`: text`), or nothing where there is none. */
export function lastLine(file: string): string {
  if (!existsSync(file)) return "";
  const last = readFileSync(file, "utf8").trimEnd().split("\n").at(-1)?.slice(-500) ?? "";
  return last === "" ? "" : `: ${last}`;
}

/** Resolves to whether `condition` held within the time; looks every 100 ms. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return true;
}

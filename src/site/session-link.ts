import type { DoneRequest, HelloRequest } from "../domain/agent.js";
import type { TaskResult } from "../domain/session.js";
import type { SiteEntry } from "./entry.js";

/**
 * What the site tells the session, and asks of it: over Temporal in the product, by a recorder in tests. The site repeats
 * `hello`, `done` and `rebooted` with growing pauses until they resolve. They throw `notFound` where the session has ended,
 * and the site then stops repeating.
 */
export interface SessionLink {
  hello(entry: SiteEntry, request: HelloRequest): Promise<void>;
  done(entry: SiteEntry, request: DoneRequest, results: TaskResult[]): Promise<void>;
  rebooted(entry: SiteEntry, bootId: string, how: string): Promise<void>;
  /** Whether the session is open at Temporal: only then is the agent's lease extended (promise 4). Throws when Temporal cannot be asked. */
  isAlive(entry: SiteEntry): Promise<boolean>;
  /** Whether the session went through its own end: its target is home, or was released. Throws when Temporal cannot be asked. */
  isOver(target: string, session: string): Promise<boolean>;
  /** Live progress for people. Never waits, never throws. */
  progress(entry: SiteEntry, event: SiteProgress): void;
}

export type SiteProgress =
  | { what: "script-fetched" | "kernel-fetched" | "initrd-fetched" | "medium-fetched" | "hello" | "lost" }
  | { what: "task"; task: string; message: string; percent: number | null }
  | { what: "log"; task: string; bytes: number };

/** Temporal answers in some milliseconds where it is well. Beyond this time a booting target does not wait for it. */
const ANSWER_MS = 2_000;

/**
 * Whether Temporal says that the entry's session is not open; false where Temporal does not answer within 2 s. The entry alone
 * cannot tell: a session may have been ended from outside, and its successor may never have reached this site.
 */
export async function isOrphaned(link: Pick<SessionLink, "isAlive">, entry: SiteEntry): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ANSWER_MS);
  });
  try {
    return (await Promise.race([link.isAlive(entry), late])) === false;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

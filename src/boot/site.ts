import type { AgentTask, DoneRequest, HelloRequest, SessionMessage } from "../domain/agent.js";
import type { BootDiagnosis, PowerAction, SessionPlan, TaskResult } from "../domain/session.js";
import type { BootSnapshot } from "../domain/snapshot.js";

/**
 * What a site remembers of one target while a session is open on it: one fsynced JSON file of the journal.
 * Rebuilt by the session when it is lost: every activity carries its whole plan.
 */
export interface SiteEntry {
  target: string;
  session: string;
  runId: string;
  plan: SessionPlan;
  /** Never replaced while it is there (promise 2). */
  snapshot: BootSnapshot | null;
  /** ISO 8601. After it the site serves home whatever else it remembers. */
  absoluteDeadline: string;
  /** Present from `publish` to `withdraw`: the target is served the session's script. */
  boot: SiteBoot | null;
  /** Results of tasks by task id, kept until the entry is closed so that a re-offered task is answered at once. */
  results: Record<string, TaskResult>;
  ledger: SiteLedger;
}

/** What the site itself must not forget about an entry when its process dies. */
export interface SiteLedger {
  /** Messages that the session has not yet acknowledged, oldest first; at most 16. */
  outbox: SessionMessage[];
  /** Names of the tasks that were offered, by task id. */
  offered: Record<string, string>;
  /** ISO 8601: until then the agent may go on. Moved only when the session was confirmed alive. */
  leaseUntil: string | null;
  /** ISO 8601 of the last `withdraw`; null while none followed the last `publish`. */
  withdrawnAt: string | null;
  /**
   * ISO 8601: when the target's own system was seen to answer while the target was away. Null or missing again as soon as it
   * was seen off, or an image has said hello: until then what runs may be that system, though it answers no more.
   */
  ownSystemSeenAt?: string | null | undefined;
  /** Nonces of armings that are over, newest last, at most 16: an image that comes with one is sent home at once. */
  voided?: string[] | undefined;
  /** The highest arming seen: a late attempt of an earlier one is refused. */
  lastEpoch: number;
  /** What was done to the target's power since its snapshot, each noted before it was asked for; oldest first, at most 64. */
  powerActions: PowerAction[];
}

export interface MintedNonce {
  nonce: string;
  mintedAt: string;
  /** The address that fetched the script; none for the nonce of a medium. */
  from?: string | undefined;
}

/** The medium of one arming, by which the target boots without its network: the same bytes for as long as it is published. */
export interface SiteMedium {
  /** Digest of the ISO in the site's cache. */
  sha256: string;
  /** Where the archive lies in the ISO, and which parts of it tell how far a boot came. */
  slot: { offset: number; bytes: number };
  kernel: { offset: number; bytes: number };
  lastInitrd: { offset: number; bytes: number };
  /** The session's archive, base64. */
  archive: string;
}

export interface SiteBoot {
  /** Which arming this is: 1, 2, … Contacts of an earlier one are void. */
  epoch: number;
  wasOff: boolean;
  /** Nonces minted for this epoch, newest last; at most 16. Files below them may be fetched until the hello. */
  nonces: MintedNonce[];
  /** Unguessable path segment of media URLs. */
  mediaSegment: string;
  /** Null unless the session boots from a medium. */
  medium: SiteMedium | null;
  /** Of a medium these three are its first byte, the kernel's last and the last initrd's last. */
  scriptFetchedAt: string | null;
  kernelFetchedAt: string | null;
  initrdFetchedAt: string | null;
  /** Set by the hello; a hello with another boot id revokes. */
  bootId: string | null;
  spentNonce: string | null;
  helloAt: string | null;
  revoked: boolean;
  done: DoneRequest | null;
}

/** An arming before its first contact. */
export const freshBoot = (epoch: number, wasOff: boolean, mediaSegment: string): SiteBoot => ({
  epoch,
  wasOff,
  nonces: [],
  mediaSegment,
  medium: null,
  scriptFetchedAt: null,
  kernelFetchedAt: null,
  initrdFetchedAt: null,
  bootId: null,
  spentNonce: null,
  helloAt: null,
  revoked: false,
  done: null,
});

/**
 * What the site tells the session: implemented over Temporal by the worker, by a recorder in tests.
 * `hello`, `done` and `rebooted` are repeated with back-off until they resolve; they throw `PitstopError("notFound")`
 * where the session does not exist any more, and then the site stops repeating.
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

/** The site's boot server and agent gateway, as the activities use them. Each method ensures a state. */
export interface Site {
  /** Ensures an entry for the session; returns the one that is there. `busy` if another session has an open one. */
  open(plan: SessionPlan, runId: string): Promise<SiteEntry>;
  entry(target: string): SiteEntry | null;
  entries(): SiteEntry[];
  /** Keeps, durably, that the target's own system answered while the target is away. */
  seenAtHome(target: string, session: string): Promise<void>;
  /** Keeps what is about to be done to the power, durably; said again with the same moment and reason, it is what became of it. */
  note(target: string, session: string, action: PowerAction): Promise<void>;
  /** Get-or-create: returns the snapshot that is kept, fsynced, which may be an earlier one. */
  keepSnapshot(target: string, session: string, snapshot: BootSnapshot): Promise<BootSnapshot>;
  /** Ensures that the image's files are in the cache with matching digests, and its medium where the session boots from one. Returns bytes fetched (0: all were there). */
  stage(plan: SessionPlan, onProgress: (bytes: number) => void, signal: AbortSignal): Promise<{ fetchedBytes: number }>;
  /** Ensures that the target is served the session's boot script, as arming number `epoch`. Returns URLs for the control; `mediaUrl` is null unless the session boots from a medium. */
  publish(
    target: string,
    session: string,
    epoch: number,
    wasOff: boolean,
  ): Promise<{ httpBootUri: string; scriptUrl: string; mediaUrl: string | null }>;
  /** Ensures that the target is served its way home and that its agent's token is void. */
  withdraw(target: string, session: string): Promise<void>;
  /** Forgets the entry: the session has ended. */
  close(target: string, session: string): Promise<void>;
  /** What was seen of the boot so far. */
  contacts(target: string): Pick<BootDiagnosis, "scriptFetched" | "kernelFetched" | "initrdFetched">;

  /**
   * Active mode: hands the task to the agent and resolves with its result. Idempotent by task id: a result that is
   * there already is returned at once. Aborting `signal` tells the agent to stop the task (status `cancelled`).
   */
  offer(target: string, session: string, task: AgentTask, signal: AbortSignal): Promise<TaskResult>;
  /** Tells the agent that its work is over and what to do with the power; resolves when it took the word, or after `waitMs`. */
  finish(target: string, session: string, power: "off" | "reboot" | "stay", waitMs: number): Promise<boolean>;
}

/** A healthy Temporal answers in some milliseconds; a target that boots is not kept waiting for one that is not. */
const ASKED_MS = 2_000;

/**
 * Whether the entry's session is no more, by Temporal's word; no answer is no word. What the entry says is not enough: a session
 * may have ended from outside, and another one may hold the target that never got to this site.
 */
export async function isOrphaned(link: Pick<SessionLink, "isAlive">, entry: SiteEntry): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ASKED_MS);
  });
  try {
    return (await Promise.race([link.isAlive(entry), late])) === false;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

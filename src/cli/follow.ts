import { setTimeout as sleep } from "node:timers/promises";
import { type PitstopClient, ServerUnreachable } from "../api/client.js";
import type { PitstopEvent } from "../api/events.js";
import type { Started } from "../api/messages.js";
import { PitstopError } from "../domain/errors.js";
import type { SessionRecord } from "../domain/record.js";
import type { PhaseTime } from "../domain/session.js";
import { isSettled } from "./ending.js";

/** A server that is started again comes back within seconds; one that is mended, within minutes. */
const AWAY_LIMIT_MS = 10 * 60_000;
const AWAY_PAUSE_MS = 1_000;
/** Events are the quick way; this is the sure one. Rare, because each look asks the session itself. */
const LOOK_AGAIN_MS = 15_000;
const AT_ONCE = 10;

/** What is known of a session that is followed. */
export interface Followed {
  started: Started;
  record: SessionRecord | null;
  phases: PhaseTime[];
  /** The last thing that was told within the phase. */
  progress: string | null;
}

export interface FollowListener {
  /** A phase began, or all was read again. */
  changed(session: Followed): void;
  progressed(session: Followed, event: Extract<PitstopEvent, { type: "session.progress" }>): void;
  /** The server does not answer, and then answers again. */
  away(isAway: boolean): void;
}

/**
 * Follows sessions until each is settled; survives a server that goes away for up to ten minutes. Returns the records in
 * the order of `sessions`.
 */
export async function follow(
  client: PitstopClient,
  sessions: Started[],
  listener: FollowListener,
  signal: AbortSignal,
): Promise<SessionRecord[]> {
  const follower = new Follower(client, sessions, listener);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const looking = lookAgain(follower, either);
  try {
    await listen(client, sessions, follower, listener, either);
  } finally {
    stop.abort();
    await looking;
  }
  signal.throwIfAborted();
  return follower.records();
}

/** Reads the event stream until all are settled, opening it again where it broke off. */
async function listen(
  client: PitstopClient,
  sessions: Started[],
  follower: Follower,
  listener: FollowListener,
  signal: AbortSignal,
): Promise<void> {
  const [only] = sessions;
  const filter = sessions.length === 1 && only ? { session: only.session } : {};
  let last: string | undefined;
  let awaySince: number | null = null;
  const inner = new AbortController();
  follower.onSettled = () => inner.abort();
  const either = AbortSignal.any([signal, inner.signal]);
  while (!either.aborted) {
    try {
      for await (const event of client.events(filter, either, last)) {
        if (awaySince !== null) listener.away(false);
        awaySince = null;
        if (event === null) await follower.readAll();
        else {
          last = event.id;
          await follower.hear(event);
        }
        if (either.aborted) return;
      }
    } catch (error) {
      if (either.aborted) return;
      if (!(error instanceof ServerUnreachable)) throw error;
      awaySince ??= Date.now();
      if (Date.now() - awaySince > AWAY_LIMIT_MS) throw error;
      listener.away(true);
      await sleep(AWAY_PAUSE_MS, undefined, { signal: either }).catch(() => {});
    }
  }
}

async function lookAgain(follower: Follower, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => {});
    // What fails here fails in the stream too, which tells of it.
    if (!signal.aborted) await follower.readAll().catch(() => {});
  }
}

class Follower {
  readonly #followed: Map<string, Followed>;
  onSettled: () => void = () => {};

  constructor(
    private readonly client: PitstopClient,
    sessions: Started[],
    private readonly listener: FollowListener,
  ) {
    this.#followed = new Map(
      sessions.map((started) => [started.session, { started, record: null, phases: [], progress: null }]),
    );
  }

  records(): SessionRecord[] {
    return [...this.#followed.values()].flatMap(({ record }) => (record ? [record] : []));
  }

  async hear(event: PitstopEvent): Promise<void> {
    const followed = "session" in event ? this.#followed.get(event.session) : undefined;
    if (!followed || (followed.record && isSettled(followed.record))) return;
    if (event.type === "session.progress") {
      followed.progress = [event.task, event.message || event.what, event.percent === null ? null : `${event.percent}%`]
        .filter((part) => part !== null)
        .join(" ");
      this.listener.progressed(followed, event);
    } else if (event.type === "session.phase" && event.phases.length >= followed.phases.length) {
      if (event.phases.length > followed.phases.length) followed.progress = null;
      followed.phases = event.phases;
      this.listener.changed(followed);
    }
    const over = event.type === "session.ended" || (event.type === "session.phase" && event.phase === "stranded");
    if (over) await this.#read(followed);
  }

  /** Ten requests at once, whatever the number of sessions. */
  async readAll(): Promise<void> {
    const waiting = [...this.#followed.values()].filter(({ record }) => !record || !isSettled(record));
    for (let i = 0; i < waiting.length; i += AT_ONCE) {
      await Promise.all(waiting.slice(i, i + AT_ONCE).map((followed) => this.#read(followed)));
    }
  }

  async #read(followed: Followed): Promise<void> {
    let record: SessionRecord;
    try {
      record = await this.client.session(followed.started.session);
    } catch (error) {
      // Between its start and its first word a session may not be known to every part yet.
      if (error instanceof PitstopError && error.code === "notFound") return;
      throw error;
    }
    if (followed.record && isSettled(followed.record)) return;
    followed.record = record;
    if (record.phases.length >= followed.phases.length) followed.phases = record.phases;
    this.listener.changed(followed);
    const all = [...this.#followed.values()];
    if (all.every((one) => one.record && isSettled(one.record))) this.onSettled();
  }
}

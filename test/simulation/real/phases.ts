import { setTimeout as sleep } from "node:timers/promises";
import type { PitstopClient } from "../../../src/api/client.js";
import type { Phase } from "../../../src/domain/ids.js";
import type { SessionRecord } from "../../../src/domain/record.js";

const LOOK_MS = 1_000;

interface Watched {
  phase: Phase | null;
  entered: (phase: Phase) => void;
  settled: (record: SessionRecord) => void;
}

/** Follows all sessions of an attack through one event stream and one list, whatever happens to the server. */
export class Phases {
  readonly #client: PitstopClient;
  readonly #watched = new Map<string, Watched>();
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(client: PitstopClient) {
    this.#client = client;
    this.#running = Promise.all([this.#listen(), this.#look()]);
  }

  /** Resolves with the record when the session has ended or is announced stranded. */
  async settled(session: string, entered: (phase: Phase) => void): Promise<SessionRecord> {
    return await new Promise((resolve) => {
      this.#watched.set(session, { phase: null, entered, settled: resolve });
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    // Node.js 20 may have collected the composed signal by which the stream would hear of it; the server's end ends it then.
    await Promise.race([this.#running, sleep(2_000)]);
  }

  #enter(session: string, phase: Phase): void {
    const watched = this.#watched.get(session);
    if (!watched || watched.phase === phase) return;
    watched.phase = phase;
    watched.entered(phase);
  }

  /** The quick way: it breaks with each kill, and what was missed is missed. */
  async #listen(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        for await (const event of this.#client.events({}, this.#stop.signal)) {
          if (event?.type === "session.phase") this.#enter(event.session, event.phase);
        }
      } catch {
        await this.#pause(300);
      }
    }
  }

  /** The sure way. */
  async #look(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#pause(LOOK_MS);
      try {
        const { items } = await this.#client.sessions({ open: true, limit: 1_000 });
        const open = new Map(items.map((item) => [item.session, item]));
        for (const [session, watched] of this.#watched) {
          const found = open.get(session);
          // The list tells only of a session's turns: older than what an event has told.
          if (found && watched.phase === null) this.#enter(session, found.phase);
          if (found && found.ending !== "stranded") continue;
          const record = await this.#client.session(session);
          // The kept record says stranded until the next announcement; the phase is the session's own word.
          if (record.endedAt === null && record.phase !== "stranded") continue;
          this.#watched.delete(session);
          watched.settled(record);
        }
      } catch {
        // The server is away; it comes back, or the attack's own bound ends it.
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}

import type { Logger } from "pino";
import type { SessionLink, SiteEntry } from "../boot/site.js";
import { messageOf } from "../domain/errors.js";
import type { AgentSessions, Clock } from "./sessions.js";
import { pause, within } from "./wait.js";

/** An agent polls at least this often (docs/agent-protocol.md: 30 s) and may miss two polls before it is called lost. */
const LOST_MS = 90_000;

interface Watch {
  stop: AbortController;
  heardMs: number;
  lost: boolean;
  /** Counted from look to look, so that a clock that is set silences nobody. */
  silentMs: number;
}

/**
 * The dead-man leases of the images that said hello. A lease is extended only after the session itself was found
 * alive (promise 4): contact between agent and site extends nothing, and without confirmation it just runs out. One that
 * has run out is not given again: its image has gone home by then, and nobody must take it for one that still works.
 */
export class Leases {
  readonly #sessions: AgentSessions;
  readonly #link: SessionLink;
  readonly #now: Clock;
  readonly #log: Logger;
  readonly #lostMs: number;
  readonly #gone: (entry: SiteEntry, how: string) => Promise<void>;
  readonly #watches = new Map<string, Watch>();
  /** The leases as they were granted here, or found in the journal, with their ends by a clock that nobody sets. */
  readonly #ends = new Map<string, { until: string; endMs: number }>();

  /** `gone` is told when an image cannot be at work any more: its lease is over, or it has not heard of a longer one. */
  constructor(
    sessions: AgentSessions,
    link: SessionLink,
    now: Clock,
    log: Logger,
    gone: (entry: SiteEntry, how: string) => Promise<void>,
    lostMs = LOST_MS,
  ) {
    this.#lostMs = lostMs;
    this.#gone = gone;
    this.#sessions = sessions;
    this.#link = link;
    this.#now = now;
    this.#log = log;
  }

  /** The first lease of a boot: its session has just armed it, so it gets one before the first look. */
  grant(entry: SiteEntry): void {
    this.#extend(entry, { day: this.#now(), mono: performance.now() });
  }

  /** Looks after the entry's session every third of a lease, and at least once a minute, from now on, until its boot is over. Called again, it does nothing. */
  watch(entry: SiteEntry): void {
    if (this.#watches.has(entry.target)) return;
    const watch: Watch = { stop: new AbortController(), heardMs: this.#now(), lost: false, silentMs: 0 };
    this.#watches.set(entry.target, watch);
    void this.#run(entry, watch).finally(() => {
      if (this.#watches.get(entry.target) === watch) this.#watches.delete(entry.target);
    });
  }

  /** After a restart: the sessions are looked after again, at once. */
  resume(): void {
    for (const entry of this.#sessions.all()) {
      if (entry.boot?.helloAt && !entry.boot.revoked) this.watch(entry);
    }
  }

  heard(entry: SiteEntry): void {
    const watch = this.#watches.get(entry.target);
    if (watch) Object.assign(watch, { heardMs: this.#now(), lost: false, silentMs: 0 });
  }

  /** Whole seconds that the image may go on from now; never beyond the absolute deadline. */
  secondsLeft(entry: SiteEntry): number {
    const beforeDeadline = Date.parse(entry.absoluteDeadline) - this.#now();
    return Math.max(0, Math.floor(Math.min(this.#leftMs(entry), beforeDeadline) / 1000));
  }

  end(target: string): void {
    this.#watches.get(target)?.stop.abort();
    this.#watches.delete(target);
    this.#ends.delete(target);
  }

  close(): void {
    for (const target of [...this.#watches.keys()]) this.end(target);
  }

  async #run(entry: SiteEntry, watch: Watch): Promise<void> {
    const boot = entry.boot;
    const everyMs = Math.min(60_000, Math.max(100, entry.plan.limits.leaseMs / 3));
    // The first look comes at once only where the lease is not fresh, which is after a restart.
    if (this.secondsLeft(entry) * 1000 + 1000 >= entry.plan.limits.leaseMs) await pause(everyMs, watch.stop.signal);
    while (!watch.stop.signal.aborted && entry.boot === boot && this.#sessions.get(entry.target) === entry) {
      await this.#look(entry, everyMs);
      await this.#noticeSilence(entry, watch, everyMs);
      await pause(everyMs, watch.stop.signal);
    }
  }

  async #look(entry: SiteEntry, boundMs: number): Promise<void> {
    const asked = { day: this.#now(), mono: performance.now() };
    try {
      const alive = await within(this.#link.isAlive(entry), boundMs, null);
      if (alive && this.#isOver(entry)) {
        this.#log.warn(
          { target: entry.target },
          "the lease ran out before the session was confirmed; its image goes home",
        );
        await this.#gone(entry, "its lease ran out before the session could be asked");
      } else if (alive) {
        this.#extend(entry, asked);
        await this.#sessions.save(entry);
      } else {
        this.#log.warn({ target: entry.target, answer: alive }, "the session was not confirmed; its lease runs on");
      }
    } catch (error) {
      const facts = { target: entry.target, reason: messageOf(error) };
      this.#log.warn(facts, "the session could not be asked for; its lease runs on");
    }
  }

  #extend(entry: SiteEntry, from: { day: number; mono: number }): void {
    const { leaseMs } = entry.plan.limits;
    const until = new Date(from.day + leaseMs).toISOString();
    entry.ledger.leaseUntil = until;
    this.#ends.set(entry.target, { until, endMs: from.mono + leaseMs });
  }

  #isOver(entry: SiteEntry): boolean {
    return entry.ledger.leaseUntil !== null && this.#leftMs(entry) <= 0;
  }

  /** A clock that is set back lengthens no lease: it ends when its time of day has come, or its length is over, whichever is first. */
  #leftMs(entry: SiteEntry): number {
    const until = entry.ledger.leaseUntil;
    if (until === null) return 0;
    const byDay = Date.parse(until) - this.#now();
    let known = this.#ends.get(entry.target);
    if (known?.until !== until) {
      // Of another process of this site: how old it is, only the time of day tells.
      known = { until, endMs: performance.now() + Math.min(byDay, entry.plan.limits.leaseMs) };
      this.#ends.set(entry.target, known);
    }
    return Math.min(byDay, known.endMs - performance.now());
  }

  /** An agent hears of a longer lease only when it comes: one that stayed away for the whole of its lease has gone home, or hangs. */
  async #noticeSilence(entry: SiteEntry, watch: Watch, everyMs: number): Promise<void> {
    if (!watch.lost && this.#now() - watch.heardMs >= this.#lostMs) {
      watch.lost = true;
      this.#link.progress(entry, { what: "lost" });
    }
    // One look more: an answer with a longer lease may have been on its way when the lease ended.
    if (watch.silentMs >= Math.max(this.#lostMs, entry.plan.limits.leaseMs) + everyMs) {
      await this.#gone(
        entry,
        `its agent was not heard for ${Math.round(watch.silentMs / 1000)} s, the whole of its lease`,
      );
    }
    watch.silentMs += everyMs;
  }
}

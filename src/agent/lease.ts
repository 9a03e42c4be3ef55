import type { Logger } from "pino";
import { messageOf } from "../domain/errors.js";
import type { Clock } from "../site/clock.js";
import type { Entries } from "../site/entries.js";
import type { SiteEntry } from "../site/entry.js";
import type { SessionLink } from "../site/session-link.js";
import { pause, within } from "./wait.js";

/** An agent polls at least this often (docs/agent-protocol.md: 30 s) and may miss two polls before it is called lost. */
const LOST_MS = 90_000;

interface Watch {
  stop: AbortController;
  heardMs: number;
  lost: boolean;
  /** Counted from look to look: a clock that is set must not make an agent look silent. */
  silentMs: number;
}

/**
 * The dead-man leases of the images that said hello. A lease is extended only after the session itself was found alive
 * (promise 4). Contact between agent and site extends nothing: without confirmation the lease runs out. It is not given again
 * then, because its image has gone home by that time and must not count as working.
 */
export class Leases {
  readonly #entries: Pick<Entries, "get" | "all" | "save">;
  readonly #link: SessionLink;
  readonly #now: Clock;
  readonly #log: Logger;
  readonly #lostMs: number;
  readonly #gone: (entry: SiteEntry, how: string) => Promise<void>;
  readonly #watches = new Map<string, Watch>();
  /** The leases that were granted here, or found in the journal, with their ends by the monotonic clock. */
  readonly #ends = new Map<string, { until: string; endMs: number }>();

  /** `gone` is called when an image cannot be at work: its lease is over, or it has not heard of a longer one. */
  constructor(
    entries: Pick<Entries, "get" | "all" | "save">,
    link: SessionLink,
    now: Clock,
    log: Logger,
    gone: (entry: SiteEntry, how: string) => Promise<void>,
    lostMs = LOST_MS,
  ) {
    this.#lostMs = lostMs;
    this.#gone = gone;
    this.#entries = entries;
    this.#link = link;
    this.#now = now;
    this.#log = log;
  }

  /** Grants the first lease of a boot before the first look: its session has just armed it. */
  grant(entry: SiteEntry): void {
    this.#extend(entry, { day: this.#now(), mono: performance.now() });
  }

  /** Asks for the entry's session every third of a lease, and at least once a minute, until its boot is over. Called again, it does nothing. */
  watch(entry: SiteEntry): void {
    if (this.#watches.has(entry.target)) return;
    const watch: Watch = { stop: new AbortController(), heardMs: this.#now(), lost: false, silentMs: 0 };
    this.#watches.set(entry.target, watch);
    void this.#run(entry, watch).finally(() => {
      if (this.#watches.get(entry.target) === watch) this.#watches.delete(entry.target);
    });
  }

  /** After a restart: asks for the sessions of all boots, at once. */
  resume(): void {
    for (const entry of this.#entries.all()) {
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
    // A fresh lease needs no look yet. After a restart the lease is older, and the first look comes at once.
    if (this.secondsLeft(entry) * 1000 + 1000 >= entry.plan.limits.leaseMs) await pause(everyMs, watch.stop.signal);
    while (!watch.stop.signal.aborted && entry.boot === boot && this.#entries.get(entry.target) === entry) {
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
        await this.#entries.save(entry);
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

  /** A lease ends at its time of day, or after its length, whichever is first: a clock that is set back lengthens none. */
  #leftMs(entry: SiteEntry): number {
    const until = entry.ledger.leaseUntil;
    if (until === null) return 0;
    const byDay = Date.parse(until) - this.#now();
    let known = this.#ends.get(entry.target);
    if (known?.until !== until) {
      // An earlier process of this site granted it: only the time of day says how old it is.
      known = { until, endMs: performance.now() + Math.min(byDay, entry.plan.limits.leaseMs) };
      this.#ends.set(entry.target, known);
    }
    return Math.min(byDay, known.endMs - performance.now());
  }

  /** An agent hears of a longer lease only in an answer. After a whole lease of silence it has gone home, or hangs. */
  async #noticeSilence(entry: SiteEntry, watch: Watch, everyMs: number): Promise<void> {
    if (!watch.lost && this.#now() - watch.heardMs >= this.#lostMs) {
      watch.lost = true;
      this.#link.progress(entry, { what: "lost" });
    }
    // One look more: an answer with a longer lease may have been under way when the lease ended.
    if (watch.silentMs >= Math.max(this.#lostMs, entry.plan.limits.leaseMs) + everyMs) {
      await this.#gone(
        entry,
        `its agent was not heard for ${Math.round(watch.silentMs / 1000)} s, the whole of its lease`,
      );
    }
    watch.silentMs += everyMs;
  }
}

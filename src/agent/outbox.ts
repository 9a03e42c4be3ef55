import type { Logger } from "pino";
import type { SessionMessage } from "../domain/agent.js";
import { messageOf, PitstopError } from "../domain/errors.js";
import type { Entries } from "../site/entries.js";
import type { SiteEntry } from "../site/entry.js";
import type { SessionLink } from "../site/session-link.js";
import { pause, within } from "./wait.js";

/** Between the tries of one message: doubled from the first to the last, with up to a quarter at random on top. */
const FIRST_BACKOFF_MS = 250;
const LAST_BACKOFF_MS = 15_000;
/** One try. A call that hangs must not keep the messages behind it for ever. */
const TRY_MS = 20_000;
/** A boot has one hello, one done and one reboot to tell; more than this is a defect, and the oldest goes. */
const MAX_MESSAGES = 16;

/** `told`: the session has it. `gone`: the session has ended. `later`: it is tried again until one of these. */
export type Delivery = "told" | "gone" | "later";

/**
 * Brings messages to sessions, in order, at least once, across restarts of the site. A message stays in the journal until the
 * session has acknowledged it, or until its arming is over, which empties the entry's outbox.
 */
export class Outbox {
  readonly #entries: Pick<Entries, "get" | "all" | "save">;
  readonly #link: Pick<SessionLink, "hello" | "done" | "rebooted">;
  readonly #log: Logger;
  readonly #pumps = new Map<string, Promise<void>>();
  readonly #closed = new AbortController();

  constructor(
    entries: Pick<Entries, "get" | "all" | "save">,
    link: Pick<SessionLink, "hello" | "done" | "rebooted">,
    log: Logger,
  ) {
    this.#entries = entries;
    this.#link = link;
    this.#log = log;
  }

  /** Adds the message to the entry. The caller saves the entry, and then calls {@link send}. */
  add(entry: SiteEntry, message: SessionMessage): void {
    entry.ledger.outbox = [...entry.ledger.outbox, message].slice(-MAX_MESSAGES);
  }

  /** Sends the entry's messages. Resolves after `waitMs` at the latest; sending goes on in the background. */
  async send(entry: SiteEntry, waitMs: number): Promise<Delivery> {
    const gone = { yes: false };
    await within(this.#pump(entry, gone), waitMs, undefined);
    return gone.yes ? "gone" : entry.ledger.outbox.length === 0 ? "told" : "later";
  }

  /** After a restart: sends again what was not acknowledged. */
  resume(): void {
    for (const entry of this.#entries.all()) void this.#pump(entry, { yes: false });
  }

  close(): void {
    this.#closed.abort();
  }

  #pump(entry: SiteEntry, gone: { yes: boolean }): Promise<void> {
    const before = this.#pumps.get(entry.target) ?? Promise.resolve();
    const pump = before
      .then(() => this.#deliver(entry, gone))
      .finally(() => {
        if (this.#pumps.get(entry.target) === pump) this.#pumps.delete(entry.target);
      });
    this.#pumps.set(entry.target, pump);
    return pump;
  }

  async #deliver(entry: SiteEntry, gone: { yes: boolean }): Promise<void> {
    for (let failures = 0; !this.#closed.signal.aborted; ) {
      const message = entry.ledger.outbox[0];
      if (!message || this.#entries.get(entry.target) !== entry) return;
      const told = await this.#tell(entry, message);
      if (told === "later") {
        const ms = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures++);
        await pause(ms * (1 + Math.random() / 4), this.#closed.signal);
        continue;
      }
      failures = 0;
      if (told === "gone") gone.yes = true;
      entry.ledger.outbox = entry.ledger.outbox.filter((one) => one !== message);
      await this.#keep(entry);
    }
  }

  async #tell(entry: SiteEntry, message: SessionMessage): Promise<Delivery> {
    try {
      return await within(this.#call(entry, message), TRY_MS, "later" as const);
    } catch (error) {
      const gone = error instanceof PitstopError && error.code === "notFound";
      const facts = { target: entry.target, message: message.kind, reason: messageOf(error) };
      this.#log.warn(facts, gone ? "the session has ended" : "the session could not be told; it is told again");
      return gone ? "gone" : "later";
    }
  }

  async #call(entry: SiteEntry, message: SessionMessage): Promise<"told"> {
    if (message.kind === "hello") await this.#link.hello(entry, message.request);
    else if (message.kind === "done") await this.#link.done(entry, message.request, Object.values(entry.results));
    else await this.#link.rebooted(entry, message.bootId, message.how);
    return "told";
  }

  /** Where the save fails, the message goes out once more after a restart, which does no harm. */
  async #keep(entry: SiteEntry): Promise<void> {
    try {
      await this.#entries.save(entry);
    } catch (error) {
      this.#log.error({ err: error, target: entry.target }, "the journal could not be written");
    }
  }
}

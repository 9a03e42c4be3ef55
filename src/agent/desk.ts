import type { SiteEntry } from "../boot/site.js";
import type { AgentTask } from "../domain/agent.js";
import { PitstopError } from "../domain/errors.js";
import type { TaskResult } from "../domain/session.js";
import { pause, within } from "./wait.js";

/** What an agent is told next; `over`: the boot it speaks for has ended while it waited. */
export type Order =
  | { do: "wait" }
  | { do: "task"; task: AgentTask }
  | { do: "cancel"; cancel: string }
  | { do: "finish"; power: Power }
  | { do: "over" };
export type Power = "off" | "reboot" | "stay";

/** An order that was told already is told again only after this, so that a repetition is never a busy loop. */
const REPEAT_MS = 1_000;
/** An agent that was told to stop a task sends its result within its own 5 s of grace (docs/agent-protocol.md). */
const CANCEL_MS = 30_000;
/** Tasks are offered one after the other; this bounds what one session can pile up. */
const MAX_OFFERS = 128;

interface Offer {
  task: AgentTask;
  cancelled: boolean;
  told: boolean;
  settle: { resolve: (result: TaskResult) => void; reject: (error: unknown) => void };
  result: Promise<TaskResult>;
}

interface Counter {
  session: string;
  offers: Map<string, Offer>;
  finish: { epoch: number; power: Power; taken: boolean } | null;
  /** The one waiting poll; called with true when a newer poll takes its place. */
  wake: ((replaced: boolean) => void) | null;
  /** Who waits for the agent to take the word that its work is over. */
  finishTaken: (() => void)[];
  lastTold: string | null;
}

/**
 * The desk between sessions, which offer work, and agents, which come and ask for it. All of it is in memory: after a
 * restart the sessions offer again, and an agent answers what it has done already from its spool.
 */
export class Desk {
  readonly #counters = new Map<string, Counter>();
  #closed = false;

  /**
   * Resolves with the task's result, which the gateway hands in by {@link resulted}. Offering the same id again shares it.
   * Aborting tells the agent to stop; an agent that never says it did is not waited for longer than 30 s.
   */
  async offer(entry: SiteEntry, task: AgentTask, signal: AbortSignal): Promise<TaskResult> {
    const kept = entry.results[task.id];
    if (kept) return kept;
    const counter = this.#counter(entry);
    const offer = counter.offers.get(task.id) ?? this.#newOffer(counter, task);
    const cancel = () => this.#cancel(counter, offer);
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    this.#wake(counter);
    try {
      return await offer.result;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** A result was kept: whoever offered the task gets it. */
  resulted(entry: SiteEntry, result: TaskResult): void {
    const counter = this.#counter(entry);
    const offer = counter.offers.get(result.id);
    counter.offers.delete(result.id);
    offer?.settle.resolve(result);
  }

  /** The name under which a task is, or was, on offer. */
  nameOf(entry: SiteEntry, id: string): string | null {
    return this.#counters.get(entry.target)?.offers.get(id)?.task.name ?? null;
  }

  isCancelled(entry: SiteEntry, id: string): boolean {
    return this.#counters.get(entry.target)?.offers.get(id)?.cancelled ?? false;
  }

  isFinishing(entry: SiteEntry): boolean {
    return this.#finishOf(entry, this.#counters.get(entry.target) ?? null) !== null;
  }

  /** Resolves true when the agent took the word, false after `waitMs` or when there is no agent to take it. */
  async finish(entry: SiteEntry, power: Power, waitMs: number): Promise<boolean> {
    if (!entry.boot?.helloAt || entry.boot.revoked) return false;
    const counter = this.#counter(entry);
    counter.finish = { epoch: entry.boot.epoch, power, taken: false };
    const taken = new Promise<boolean>((resolve) => counter.finishTaken.push(() => resolve(true)));
    this.#wake(counter);
    return await within(taken, waitMs, false);
  }

  /**
   * What the agent is to do, at once or within `waitMs`. A newer poll takes the place of an older one, which is answered
   * `wait`. `running` names the task that the agent has in hand: it is not given another one.
   */
  async next(entry: SiteEntry, waitMs: number, running: string | null, gone: AbortSignal): Promise<Order> {
    const counter = this.#counter(entry);
    const boot = entry.boot;
    counter.wake?.(true);
    const endAt = performance.now() + waitMs;
    for (;;) {
      if (this.#closed) throw stopping();
      if (entry.boot !== boot || boot?.revoked || this.#counters.get(entry.target) !== counter) return { do: "over" };
      const order = this.#order(entry, counter, running);
      const left = endAt - performance.now();
      if (order.do !== "wait" && keyOf(order) !== counter.lastTold) return order;
      if (left <= 0 || gone.aborted) return order;
      // Told before: told again, in case that answer was lost, but not in a loop without a pause.
      const repeats = order.do !== "wait";
      const woken = await this.#sleep(counter, repeats ? Math.min(left, REPEAT_MS) : left, gone);
      if (woken === "replaced") return { do: "wait" };
      if (repeats && woken === "slept") return this.#order(entry, counter, running);
    }
  }

  /** The answer with this order went out to the agent. */
  told(entry: SiteEntry, order: Order): void {
    const counter = this.#counters.get(entry.target);
    if (!counter) return;
    counter.lastTold = keyOf(order);
    if (order.do === "task") {
      const offer = counter.offers.get(order.task.id);
      if (offer) offer.told = true;
    }
    if (order.do === "finish" && counter.finish) {
      counter.finish.taken = true;
      for (const taken of counter.finishTaken.splice(0)) taken();
    }
  }

  /** The boot is over (withdrawn, revoked, closed): polls are answered, and offers end with this error. */
  end(target: string, error: PitstopError): void {
    const counter = this.#counters.get(target);
    if (!counter) return;
    this.#counters.delete(target);
    for (const offer of counter.offers.values()) offer.settle.reject(error);
    this.#wake(counter);
  }

  /** The site stops: sessions offer again elsewhere or later, and agents come back. Nothing is over. */
  close(): void {
    this.#closed = true;
    for (const target of [...this.#counters.keys()]) this.end(target, stopping());
  }

  #counter(entry: SiteEntry): Counter {
    if (this.#closed) throw stopping();
    const present = this.#counters.get(entry.target);
    if (present?.session === entry.session) return present;
    if (present) this.end(entry.target, ended(entry.target));
    const counter: Counter = {
      session: entry.session,
      offers: new Map(),
      finish: null,
      wake: null,
      finishTaken: [],
      lastTold: null,
    };
    this.#counters.set(entry.target, counter);
    return counter;
  }

  #newOffer(counter: Counter, task: AgentTask): Offer {
    if (counter.offers.size >= MAX_OFFERS) {
      throw new PitstopError(
        "refused",
        `A session offers at most ${MAX_OFFERS} tasks at once; wait for their results.`,
      );
    }
    let settle: Offer["settle"] | undefined;
    const result = new Promise<TaskResult>((resolve, reject) => {
      settle = { resolve, reject };
    });
    if (!settle) throw new TypeError("a promise runs its executor at once");
    result.catch(() => {});
    const offer: Offer = { task, cancelled: false, told: false, settle, result };
    counter.offers.set(task.id, offer);
    return offer;
  }

  #cancel(counter: Counter, offer: Offer): void {
    if (offer.cancelled) return;
    offer.cancelled = true;
    const give = (reason: string) => {
      if (counter.offers.get(offer.task.id) !== offer) return;
      counter.offers.delete(offer.task.id);
      offer.settle.resolve(cancelledResult(offer.task, reason));
    };
    // What the agent never heard of needs no stopping.
    if (!offer.told) {
      give("it was cancelled before the agent took it");
      return;
    }
    this.#wake(counter);
    void pause(CANCEL_MS).then(() => give("the agent did not say that it had stopped it"));
  }

  #order(entry: SiteEntry, counter: Counter, running: string | null): Order {
    const finish = this.#finishOf(entry, counter);
    if (finish) return { do: "finish", power: finish.power };
    for (const offer of counter.offers.values()) {
      if (offer.cancelled) return { do: "cancel", cancel: offer.task.id };
    }
    if (running !== null) return { do: "wait" };
    const [first] = counter.offers.values();
    return first && !entry.boot?.done ? { do: "task", task: first.task } : { do: "wait" };
  }

  /** A word to finish belongs to one arming: the next boot of the same session starts without it. */
  #finishOf(entry: SiteEntry, counter: Counter | null): Counter["finish"] {
    return counter?.finish && counter.finish.epoch === entry.boot?.epoch ? counter.finish : null;
  }

  #wake(counter: Counter): void {
    counter.wake?.(false);
  }

  async #sleep(counter: Counter, ms: number, gone: AbortSignal): Promise<"slept" | "woken" | "replaced"> {
    const stop = new AbortController();
    let how: "slept" | "woken" | "replaced" = "slept";
    const wake = (replaced: boolean) => {
      how = replaced ? "replaced" : "woken";
      stop.abort();
    };
    counter.wake = wake;
    try {
      await pause(ms, AbortSignal.any([stop.signal, gone]));
    } finally {
      if (counter.wake === wake) counter.wake = null;
    }
    return how;
  }
}

export const ended = (target: string): PitstopError =>
  new PitstopError("conflict", `The boot of ${target} is over: it was withdrawn, or it rebooted.`);

const stopping = (): PitstopError => new PitstopError("unreachable", "This site is stopping; try again in a moment.");

const keyOf = (order: Order): string =>
  `${order.do}:${order.do === "task" ? order.task.id : order.do === "cancel" ? order.cancel : ""}`;

const cancelledResult = (task: AgentTask, reason: string): TaskResult => ({
  id: task.id,
  name: task.name,
  status: "cancelled",
  exitCode: null,
  durationMs: 0,
  reason,
  findingSha256: null,
  logSha256: null,
});

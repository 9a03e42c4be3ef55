import type { AgentTask } from "../domain/agent.js";
import { PitstopError } from "../domain/errors.js";
import type { TaskResult } from "../domain/session.js";
import type { SiteEntry } from "../site/entry.js";
import { pause, within } from "./wait.js";

/** The answer to an agent that asks for work; `over`: its boot has ended while it waited. */
export type Order =
  | { do: "wait" }
  | { do: "task"; task: AgentTask }
  | { do: "cancel"; cancel: string }
  | { do: "finish"; power: Power }
  | { do: "over" };
export type Power = "off" | "reboot" | "stay";

/** Between two answers with the same order, so that a repetition is never a busy loop. */
const REPEAT_MS = 1_000;
/** An agent that stops a task sends its result within its own 5 s of grace (docs/agent-protocol.md). */
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

/** The work of one target. */
interface Queue {
  session: string;
  offers: Map<string, Offer>;
  finish: { epoch: number; power: Power; taken: boolean } | null;
  /** The one waiting poll; called with true when a newer poll takes its place. */
  wake: ((replaced: boolean) => void) | null;
  /** The calls of `finish` that wait for the agent. */
  finishTaken: (() => void)[];
  lastTold: string | null;
}

/**
 * Hands the tasks that sessions offer to the agents that ask for work. It keeps everything in memory: after a restart the
 * sessions offer again, and an agent answers from its spool what it has done already.
 */
export class TaskDispatcher {
  readonly #queues = new Map<string, Queue>();
  #closed = false;

  /**
   * Resolves with the task's result, which the gateway hands in by {@link resulted}. Offering the same id again shares it.
   * Aborting tells the agent to stop, and waits for its answer for at most 30 s. `refused` beyond 128 offers of one session;
   * `unreachable` once the site stops.
   */
  async offer(entry: SiteEntry, task: AgentTask, signal: AbortSignal): Promise<TaskResult> {
    const kept = entry.results[task.id];
    if (kept) return kept;
    const queue = this.#queue(entry);
    const offer = queue.offers.get(task.id) ?? this.#newOffer(queue, task);
    const cancel = () => this.#cancel(queue, offer);
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    this.#wake(queue);
    try {
      return await offer.result;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Resolves the offers of a task whose result was kept. */
  resulted(entry: SiteEntry, result: TaskResult): void {
    const queue = this.#queue(entry);
    const offer = queue.offers.get(result.id);
    queue.offers.delete(result.id);
    offer?.settle.resolve(result);
  }

  /** The name under which a task is, or was, on offer. */
  nameOf(entry: SiteEntry, id: string): string | null {
    return this.#queues.get(entry.target)?.offers.get(id)?.task.name ?? null;
  }

  isCancelled(entry: SiteEntry, id: string): boolean {
    return this.#queues.get(entry.target)?.offers.get(id)?.cancelled ?? false;
  }

  isFinishing(entry: SiteEntry): boolean {
    return this.#finishOf(entry, this.#queues.get(entry.target) ?? null) !== null;
  }

  /** Resolves true when the answer with `finish` went out to the agent; false after `waitMs`, or where no agent has said hello. */
  async finish(entry: SiteEntry, power: Power, waitMs: number): Promise<boolean> {
    if (!entry.boot?.helloAt || entry.boot.revoked) return false;
    const queue = this.#queue(entry);
    queue.finish = { epoch: entry.boot.epoch, power, taken: false };
    const taken = new Promise<boolean>((resolve) => queue.finishTaken.push(() => resolve(true)));
    this.#wake(queue);
    return await within(taken, waitMs, false);
  }

  /**
   * The agent's next order, at once or within `waitMs`. A newer poll replaces an older one, whose answer is `wait`.
   * An agent that names the task it is `running` gets no other one.
   */
  async next(entry: SiteEntry, waitMs: number, running: string | null, gone: AbortSignal): Promise<Order> {
    const queue = this.#queue(entry);
    const boot = entry.boot;
    queue.wake?.(true);
    const endAt = performance.now() + waitMs;
    for (;;) {
      if (this.#closed) throw stopping();
      if (entry.boot !== boot || boot?.revoked || this.#queues.get(entry.target) !== queue) return { do: "over" };
      const order = this.#order(entry, queue, running);
      const left = endAt - performance.now();
      if (order.do !== "wait" && keyOf(order) !== queue.lastTold) return order;
      if (left <= 0 || gone.aborted) return order;
      // Sent before. That answer may be lost, so it goes out again, after a pause.
      const repeats = order.do !== "wait";
      const woken = await this.#sleep(queue, repeats ? Math.min(left, REPEAT_MS) : left, gone);
      if (woken === "replaced") return { do: "wait" };
      if (repeats && woken === "slept") return this.#order(entry, queue, running);
    }
  }

  /** The answer with this order went out to the agent. */
  told(entry: SiteEntry, order: Order): void {
    const queue = this.#queues.get(entry.target);
    if (!queue) return;
    queue.lastTold = keyOf(order);
    if (order.do === "task") {
      const offer = queue.offers.get(order.task.id);
      if (offer) offer.told = true;
    }
    if (order.do === "finish" && queue.finish) {
      queue.finish.taken = true;
      for (const taken of queue.finishTaken.splice(0)) taken();
    }
  }

  /** The boot is over (withdrawn, revoked, closed): its polls are answered, and its offers end with this error. */
  end(target: string, error: PitstopError): void {
    const queue = this.#queues.get(target);
    if (!queue) return;
    this.#queues.delete(target);
    for (const offer of queue.offers.values()) offer.settle.reject(error);
    this.#wake(queue);
  }

  /** The site stops: every offer ends as `unreachable`, so that its session offers the task again. */
  close(): void {
    this.#closed = true;
    for (const target of [...this.#queues.keys()]) this.end(target, stopping());
  }

  #queue(entry: SiteEntry): Queue {
    if (this.#closed) throw stopping();
    const present = this.#queues.get(entry.target);
    if (present?.session === entry.session) return present;
    if (present) this.end(entry.target, ended(entry.target));
    const queue: Queue = {
      session: entry.session,
      offers: new Map(),
      finish: null,
      wake: null,
      finishTaken: [],
      lastTold: null,
    };
    this.#queues.set(entry.target, queue);
    return queue;
  }

  #newOffer(queue: Queue, task: AgentTask): Offer {
    if (queue.offers.size >= MAX_OFFERS) {
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
    queue.offers.set(task.id, offer);
    return offer;
  }

  #cancel(queue: Queue, offer: Offer): void {
    if (offer.cancelled) return;
    offer.cancelled = true;
    const give = (reason: string) => {
      if (queue.offers.get(offer.task.id) !== offer) return;
      queue.offers.delete(offer.task.id);
      offer.settle.resolve(cancelledResult(offer.task, reason));
    };
    // An agent that never got the task has nothing to stop.
    if (!offer.told) {
      give("it was cancelled before the agent took it");
      return;
    }
    this.#wake(queue);
    void pause(CANCEL_MS).then(() => give("the agent did not say that it had stopped it"));
  }

  #order(entry: SiteEntry, queue: Queue, running: string | null): Order {
    const finish = this.#finishOf(entry, queue);
    if (finish) return { do: "finish", power: finish.power };
    for (const offer of queue.offers.values()) {
      if (offer.cancelled) return { do: "cancel", cancel: offer.task.id };
    }
    if (running !== null) return { do: "wait" };
    const [first] = queue.offers.values();
    return first && !entry.boot?.done ? { do: "task", task: first.task } : { do: "wait" };
  }

  /** A `finish` belongs to one arming: the next boot of the same session starts without it. */
  #finishOf(entry: SiteEntry, queue: Queue | null): Queue["finish"] {
    return queue?.finish && queue.finish.epoch === entry.boot?.epoch ? queue.finish : null;
  }

  #wake(queue: Queue): void {
    queue.wake?.(false);
  }

  async #sleep(queue: Queue, ms: number, gone: AbortSignal): Promise<"slept" | "woken" | "replaced"> {
    const stop = new AbortController();
    let how: "slept" | "woken" | "replaced" = "slept";
    const wake = (replaced: boolean) => {
      how = replaced ? "replaced" : "woken";
      stop.abort();
    };
    queue.wake = wake;
    try {
      await pause(ms, AbortSignal.any([stop.signal, gone]));
    } finally {
      if (queue.wake === wake) queue.wake = null;
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

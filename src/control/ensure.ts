import { setTimeout as delay } from "node:timers/promises";
import { isRetryable, PitstopError } from "../domain/errors.js";
import type { PowerAction } from "../domain/session.js";
import type { PowerState } from "../domain/snapshot.js";
import { readPower } from "./boot-state.js";
import type { Power, ResetKind } from "./control.js";

/**
 * How a target is brought to off. `graceful` asks its system; what happens at the deadline is the owner's choice.
 * `gracefulText` is the deadline as the owner wrote it, for the sentence.
 */
export type OffHow =
  | { mode: "graceful"; gracefulMs: number; gracefulText?: string; then: "abort" | "force" }
  | { mode: "force" };

export interface EnsureOptions {
  /** Told with each power action. */
  why: string;
  /** Told, and awaited, before each power action is asked for, and again with what became of it. */
  note?: (action: PowerAction) => Promise<void>;
  /** After each reading of the power. */
  onPoll?: (power: PowerState, elapsedMs: number) => void;
  /** Honoured between reads and writes; an answer to a write is always waited for. */
  signal?: AbortSignal;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  now?: () => number;
}

export interface Ensured {
  actions: PowerAction[];
  tookMs: number;
}

/** A BMC that was told to cut or give power does it within seconds; a minute covers the slowest seen. */
const POWER_MS = 60_000;
/** A request whose answer was lost, or that came too early, is made again, each time after a reading. */
const MAX_ASKS = 5;
/** A graceful shutdown is asked for again when so long nothing came of an answer that was lost. */
const ASK_GRACEFUL_AGAIN_MS = 30_000;
const FIRST_POLL_MS = 100;
const LAST_POLL_MS = 2_000;

/**
 * Ensures that the target is off: reads, acts only where it is on, reads until it is off.
 * Errors: `refused` when it did not obey by the graceful deadline and `then` is `abort`; `unreachable` when the BMC
 * cannot be asked or does not do it. The error's facts hold the `powerActions` done until then, and as `mayObeyMs` how
 * much of its time a system still has that was asked to shut down.
 */
export async function ensureOff(power: Power, how: OffHow, options: EnsureOptions): Promise<Ensured> {
  const run = new Run(power, options);
  return await run.told(async () => {
    if ((await run.read()) === "Off") return;
    if (how.mode === "graceful" && (await run.graceful(how))) return;
    await run.reach("Off", "ForceOff");
  });
}

/** Ensures that the target is on. Errors as {@link ensureOff}. */
export async function ensureOn(power: Power, options: EnsureOptions): Promise<Ensured> {
  const run = new Run(power, options);
  return await run.told(async () => {
    if ((await run.read()) === "Off") await run.reach("On", "On");
  });
}

/** One ensure under way: its clock, its actions, its polls. */
class Run {
  private readonly actions: PowerAction[] = [];
  /** Milliseconds that pass whatever the wall clock is set to: a deadline must not move with it. */
  private readonly now: () => number;
  private readonly wallClock: () => number;
  private readonly startedAt: number;
  /** Until when a system that was asked to shut down has time for it. */
  private obeysUntil: number | null = null;

  constructor(
    private readonly control: Power,
    private readonly options: EnsureOptions,
  ) {
    this.now = options.now ?? (() => performance.now());
    this.wallClock = options.now ?? Date.now;
    this.startedAt = this.now();
  }

  async told(work: () => Promise<void>): Promise<Ensured> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof PitstopError)) throw error;
      const mayObeyMs =
        this.obeysUntil === null ? {} : { mayObeyMs: Math.max(0, Math.round(this.obeysUntil - this.now())) };
      throw new PitstopError(error.code, error.message, {
        cause: error,
        facts: { ...error.facts, powerActions: this.actions, ...mayObeyMs },
      });
    }
    return { actions: this.actions, tookMs: Math.round(this.now() - this.startedAt) };
  }

  async read(): Promise<PowerState> {
    this.options.signal?.throwIfAborted();
    const power = await readPower(this.control);
    this.options.onPoll?.(power, this.now() - this.startedAt);
    return power;
  }

  /** Whether the system obeyed. False: it did not, and its owner lets it be forced. */
  async graceful(how: Extract<OffHow, { mode: "graceful" }>): Promise<boolean> {
    const deadline = this.now() + how.gracefulMs;
    const ask = () =>
      this.ask("GracefulShutdown").finally(() => {
        this.obeysUntil = this.now() + how.gracefulMs;
      });
    try {
      let heard = await ask();
      let askAgainAt = this.now() + ASK_GRACEFUL_AGAIN_MS;
      let asks = 1;
      for await (const power of this.poll(deadline)) {
        if (power === "Off") return true;
        if (heard || asks >= MAX_ASKS || this.now() < askAgainAt) continue;
        heard = await ask();
        askAgainAt = this.now() + ASK_GRACEFUL_AGAIN_MS;
        asks++;
      }
    } catch (error) {
      // A machine that takes no graceful shutdown at all is forced at once where its owner allows force.
      if (!(error instanceof PitstopError) || error.code !== "refused" || how.then === "abort") throw error;
      return false;
    }
    if (how.then === "force") return false;
    throw new PitstopError(
      "refused",
      `The target did not power off within ${how.gracefulText ?? `${Math.round(how.gracefulMs / 1000)} s`} of being asked to; ` +
        "look at what holds its shutdown up, give it longer in shutdown.graceful, or allow force with shutdown.then.",
    );
  }

  /** Asks for `wanted` and reads until it is so; asks again only after a reading that says that it is not. */
  async reach(wanted: PowerState, kind: ResetKind): Promise<void> {
    const deadline = this.now() + POWER_MS;
    let heard = await this.ask(kind);
    let asks = 1;
    for await (const power of this.poll(deadline)) {
      if (power === wanted) return;
      if (heard || asks >= MAX_ASKS) continue;
      heard = await this.ask(kind);
      asks++;
    }
    throw new PitstopError(
      "unreachable",
      `The BMC was told ${kind}, but the target is not ${wanted.toLowerCase()} after ${POWER_MS / 1000} s; look at the machine.`,
    );
  }

  /** Whether the BMC took the request. False: the answer was lost, or «not now»; only a reading tells. */
  private async ask(kind: ResetKind): Promise<boolean> {
    this.options.signal?.throwIfAborted();
    const asked = { at: new Date(this.wallClock()).toISOString(), what: kind, why: this.options.why };
    const action: PowerAction = { ...asked, result: "done" };
    const unanswered: PowerAction = { ...asked, result: "unanswered" };
    // Until the answer is here that is what is known, and all that a death of this process leaves.
    await this.note(unanswered);
    const answer = await this.control.reset(kind).then(
      () => null,
      (error: unknown) => ({ error }),
    );
    if (answer === null) {
      this.actions.push(action);
      await this.note(action);
      return true;
    }
    const { error } = answer;
    const known = error instanceof PitstopError && !isRetryable(error.code);
    if (known) await this.note({ ...asked, result: "refused" });
    if (known || !(error instanceof PitstopError)) throw error;
    this.actions.push(unanswered);
    return false;
  }

  /** A note that cannot be saved keeps a target on, because nobody would know why it went off. It never keeps one off. */
  private async note(action: PowerAction): Promise<void> {
    try {
      await this.options.note?.(action);
    } catch (error) {
      if (action.what !== "On") throw error;
    }
  }

  /** Readings at a growing interval until the deadline, one last reading at it. A BMC that hiccups is asked again. */
  private async *poll(deadline: number): AsyncGenerator<PowerState> {
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 1.5, LAST_POLL_MS)) {
      const leftMs = deadline - this.now();
      await this.sleep(Math.max(0, Math.min(pauseMs, leftMs)));
      const last = this.now() >= deadline;
      try {
        yield await this.read();
      } catch (error) {
        if (last || !(error instanceof PitstopError) || !isRetryable(error.code)) throw error;
      }
      if (last) return;
    }
  }

  private async sleep(ms: number): Promise<void> {
    const { signal, sleep } = this.options;
    if (sleep) await sleep(ms, signal);
    else await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
    signal?.throwIfAborted();
  }
}

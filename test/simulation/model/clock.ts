import { AsyncLocalStorage } from "node:async_hooks";

/** Something that can die: a process, or one boot of a machine. What belongs to a dead one never goes on. */
export class Life {
  alive = true;
  /** By how much its wall clock is wrong. Timers are not affected. */
  skewMs = 0;
  private latestMs = 0;

  /** `onwards`: its clock stands still rather than go back, as a workflow's does. */
  constructor(
    readonly name: string,
    private readonly onwards = false,
  ) {}

  wallMs(nowMs: number): number {
    const wallMs = nowMs + this.skewMs;
    if (!this.onwards) return wallMs;
    this.latestMs = Math.max(this.latestMs, wallMs);
    return this.latestMs;
  }
}

/** Who runs now; carried along by every continuation. `scope`, `workflow` and `activity` are the shims' own. */
export interface Context {
  life: Life;
  scope?: object;
  workflow?: object;
  activity?: object;
}

interface Event {
  at: number;
  nth: number;
  context: Context;
  act: (() => void) | null;
}

const storage = new AsyncLocalStorage<Context>();
/** 2026-01-01: any moment does, as long as it is always the same. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
const realImmediate = globalThis.setImmediate;
const RealDate = globalThis.Date;

let heap: Event[] = [];
let nowMs = 0;
let count = 0;
let world: Context = { life: new Life("world") };

export const current = (): Context => storage.getStore() ?? world;
export const within = <T>(context: Context, work: () => T): T => storage.run(context, work);
/** Milliseconds since the seed began. */
export const elapsed = (): number => nowMs;
export const eventsSoFar = (): number => count;

/** Runs `act` after `ms` as whoever asks now, if that one is still alive then. */
export function after(ms: number, act: () => void, context: Context = current()): Event {
  const event = { at: nowMs + Math.max(0, ms), nth: count++, context, act };
  push(event);
  return event;
}

export function cancel(event: Event | null | undefined): void {
  if (event) event.act = null;
}

/** A promise of something that happens outside after `ms`. Whoever died in the meantime never hears of it. */
export function outside<T>(ms: number, act: () => T): Promise<T> {
  const caller = current();
  return new Promise<T>((resolve, reject) => {
    after(
      ms,
      () => {
        let value: T;
        try {
          value = act();
        } catch (error) {
          if (caller.life.alive) reject(error as Error);
          return;
        }
        if (caller.life.alive) resolve(value);
      },
      world,
    );
  });
}

export const inWorld = <T>(work: () => T): T => storage.run(world, work);

/** Lets virtual time pass: one event, then everything that follows from it, then the next, until `until` says so. */
export async function run(until: () => boolean, maxEvents: number): Promise<"done" | "idle" | "endless"> {
  for (let steps = 0; steps < maxEvents; steps++) {
    const event = pop();
    if (!event) return "idle";
    if (event.at > nowMs) nowMs = event.at;
    const act = event.act;
    if (act === null || !event.context.life.alive) continue;
    event.act = null;
    storage.run(event.context, act);
    await new Promise<void>((resolve) => realImmediate(resolve));
    if (until()) return "done";
  }
  return "endless";
}

export function startAnew(): void {
  heap = [];
  nowMs = 0;
  count = 0;
  world = { life: new Life("world") };
}

function push(event: Event): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    if (!earlier(event, heap[up] as Event)) break;
    heap[at] = heap[up] as Event;
    at = up;
  }
  heap[at] = event;
}

function pop(): Event | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (!top || !last || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let down = 2 * at + 1;
    if (down >= heap.length) break;
    if (down + 1 < heap.length && earlier(heap[down + 1] as Event, heap[down] as Event)) down++;
    if (!earlier(heap[down] as Event, last)) break;
    heap[at] = heap[down] as Event;
    at = down;
  }
  heap[at] = last;
  return top;
}

const earlier = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.nth < b.nth);

/** What a timer's owner holds. */
class Timer {
  event: Event | null = null;
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
}

/** Puts the virtual clock, timers and random numbers in the place of the real ones. */
export function install(random: () => number): void {
  const wall = () => current().life.wallMs(EPOCH_MS + Math.floor(nowMs));
  class VirtualDate extends RealDate {
    constructor(...args: unknown[]) {
      if (args.length === 0) super(wall());
      else super(...(args as [number]));
    }
    static override now(): number {
      return wall();
    }
  }
  const setTimeout = (act: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
    const timer = new Timer();
    timer.event = after(ms, () => act(...args));
    return timer;
  };
  const setInterval = (act: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
    const timer = new Timer();
    const beat = () => {
      timer.event = after(ms, beat);
      act(...args);
    };
    timer.event = after(ms, beat);
    return timer;
  };
  const clear = (timer: Timer | undefined) => cancel(timer?.event);
  const timeoutSignal = (ms: number): AbortSignal => {
    const controller = new AbortController();
    after(ms, () => controller.abort(new DOMException("The operation timed out.", "TimeoutError")));
    return controller.signal;
  };
  Object.assign(globalThis, { Date: VirtualDate, setTimeout, setInterval, clearTimeout: clear, clearInterval: clear });
  Object.assign(AbortSignal, { timeout: timeoutSignal });
  Object.defineProperty(performance, "now", { value: () => nowMs, configurable: true });
  Math.random = random;
}

import type { Random } from "./random.js";

/** What the adversary's first stream of numbers decides. Seeds are named by what they meet here: nothing is added. */
export const FIRST_FAULTS = [
  ...["bmc 401", "bmc 403", "bmc 409", "bmc 412", "bmc 429", "bmc 500", "bmc 503", "bmc dropped", "bmc silent"],
  ...["bmc expired session", "bmc slow", "bmc stale reading", "bmc lies about power", "bmc ignores a change"],
  ...["bmc loses a reset", "bmc shows an ejected medium", "bmc refuses the password"],
  ...["override ignored", "wrong system", "shutdown ignored", "shutdown late", "stranger's reset"],
  ...["image silent", "image hangs", "image panics", "image reboots", "image dies", "image late", "image babbles"],
  ...["hello twice", "hello forged", "target's request dropped", "target's answer lost", "home check lost"],
  ...["signal lost", "signal executed", "signal late", "signal twice", "temporal away", "heartbeat lost"],
  ...["completion lost", "activity late", "catalogue away", "disk full", "no file handles", "disk error"],
  ...["site killed", "sessions killed", "host loses power", "journal lost", "clock jumps"],
  ...[
    "session terminated",
    "person aborts",
    "person retries",
    "person releases",
    "second start",
    "start with another id",
  ],
] as const;
export type Fault = (typeof FIRST_FAULTS)[number];

/** What came later has numbers of its own: where none of it happens, a seed is the story that it was without it. */
export const LATER_FAULTS = [
  ...["signal of another session", "signal of another arming", "signal of another boot", "signal of no shape"],
  ...["signals swapped", "override spent by a stranger's reset", "store full", "store unreadable", "no sockets"],
  ...["sessions' clock jumps", "all clocks jump"],
] as const;
export type LaterFault = (typeof LATER_FAULTS)[number];

/** Everything there is. Each seed allows itself some of it: many faults of few kinds find more than few of all. */
export const FAULTS = [...FIRST_FAULTS, ...LATER_FAULTS] as const;

/** One seed's share of some kinds: which of them it has, how many times are left, and until when it goes on. */
export class Share<F extends string> {
  active = true;
  private readonly allowed: Set<F>;
  private left: number;
  /** Windows in which something is away for good, by name. */
  private readonly away = new Map<string, number>();

  constructor(
    readonly random: Random,
    private readonly now: () => number,
    kinds: readonly F[],
    /** One of these is how many faults there are in all. */
    counts: readonly number[],
    /** How often each has happened, beside those of other shares. */
    readonly hits: Map<string, number>,
  ) {
    this.left = counts.length > 0 ? random.pick(counts) : 0;
    const part = random.pick([0.1, 0.25, 0.5]);
    this.allowed = new Set(kinds.filter(() => random.chance(part)));
  }

  stop(): void {
    this.active = false;
    this.away.clear();
  }

  /** Whether this fault is still to be expected of this seed. */
  has(fault: F): boolean {
    return this.active && this.left > 0 && this.allowed.has(fault);
  }

  /** Whether this fault happens now; it is counted. */
  does(fault: F, probability: number): boolean {
    if (!this.has(fault) || !this.random.chance(probability)) return false;
    this.left--;
    this.hits.set(fault, (this.hits.get(fault) ?? 0) + 1);
    return true;
  }

  isAway(fault: F, probability: number, longestMs: number): boolean {
    const until = this.away.get(fault) ?? 0;
    if (this.now() < until) return true;
    if (!this.does(fault, probability)) return false;
    this.away.set(fault, this.now() + this.random.between(500, longestMs));
    return true;
  }
}

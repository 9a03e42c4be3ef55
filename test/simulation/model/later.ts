import { LATER_FAULTS, type LaterFault, Share } from "./faults.js";
import type { Random } from "./random.js";

const HOUR_MS = 3_600_000;

/** The adversary's second stream: what came later, and changes nothing of a seed in which none of it happens. */
export class Later extends Share<LaterFault> {
  constructor(random: Random, now: () => number, hits: Map<string, number>, off: boolean) {
    super(random, now, LATER_FAULTS, off ? [] : [0, 0, 1, 2, 4, 8], hits);
  }

  /** The next signal of the same session overtakes this one. */
  holdsSignal(): boolean {
    return this.does("signals swapped", 0.3);
  }

  storeFault(operation: "put" | "read"): string | null {
    if (operation === "put") return this.isAway("store full", 0.2, 90_000) ? "ENOSPC" : null;
    return this.isAway("store unreadable", 0.1, 60_000) ? "EMFILE" : null;
  }

  /** The site's process has no file handle left for a connection. */
  noSockets(): boolean {
    return this.isAway("no sockets", 0.02, 30_000);
  }

  /** By how much clocks are wrong from now on: seconds, as by a step of NTP, or hours, as by a wrong time zone. */
  clockError(): number {
    return this.random.between(-1, 1) * this.random.pick([60_000, 600_000, 3 * HOUR_MS]);
  }
}

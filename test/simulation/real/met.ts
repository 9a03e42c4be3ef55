import type { LabTarget } from "../../../src/lab/lab.js";
import type { ProcessMachine } from "../../../src/lab/process/machine.js";
import type { Deed } from "./schedule.js";

/** What lies in wait until somebody runs into it; all other deeds are done at once. */
const WAITS = ["fault", "machine", "effect", "signals", "wrong boot"] as const satisfies Deed["do"][];

/** What of an adversary came to pass: an adversary of which everything was in vain has shown nothing. */
export class Met {
  readonly #counts = new Map<string, { due: number; met: number }>();

  /** Its moment came. */
  due(kind: string, times = 1): void {
    this.#of(kind).due += times;
  }

  /** It was done, or somebody ran into it. */
  met(kind: string, times = 1): void {
    this.#of(kind).met += times;
  }

  add(other: Met): void {
    for (const [kind, { due, met }] of other.#counts) {
      this.due(kind, due);
      this.met(kind, met);
    }
  }

  /** What a target's BMC and machine count themselves. */
  addTarget({ bmc, machine }: LabTarget): void {
    for (const [fault, times] of bmc.faults.met) this.met(`BMC ${fault}`, times);
    for (const [fault, times] of (machine as ProcessMachine).met) this.met(`machine ${fault}`, times);
  }

  of(kind: string): { due: number; met: number } {
    return this.#counts.get(kind) ?? { due: 0, met: 0 };
  }

  /** How many kinds were met. */
  get kinds(): number {
    return [...this.#counts.values()].filter(({ met }) => met > 0).length;
  }

  /** Kinds whose moment came so often, and that never were met. */
  inVain(least: number): string[] {
    return [...this.#counts].filter(([, { due, met }]) => due >= least && met === 0).map(([kind]) => kind);
  }

  /** `met of due` for each kind; what one deed lets happen may happen often. */
  toString(): string {
    const told = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    return told.map(([kind, { due, met }]) => `  ${kind.padEnd(28)} ${met} (${due} due)`).join("\n");
  }

  #of(kind: string): { due: number; met: number } {
    const known = this.#counts.get(kind) ?? { due: 0, met: 0 };
    this.#counts.set(kind, known);
    return known;
  }
}

export const waits = (deed: Deed): boolean => (WAITS as readonly string[]).includes(deed.do);

/** A deed's kind, by the name under which it is counted when it is met. */
export function kindOf(deed: Deed): string {
  switch (deed.do) {
    case "fault":
      return `BMC ${deed.fault.fault}`;
    case "machine":
      return `machine ${Object.keys(deed.faults)[0]}`;
    case "wrong boot":
      return deed.how === "network" ? "machine asksNetwork" : "BMC ignored-override";
    case "effect":
      return deed.then.throw ? "effect fails" : "effect is late";
    case "signals":
      return `signals ${deed.how}`;
    case "strange reset":
      return `strange ${deed.type}`;
    case "signal":
      return `forged ${deed.name}`;
    default:
      return deed.do;
  }
}

import { type Fault, FIRST_FAULTS, Share } from "./faults.js";
import type { Random } from "./random.js";
import type { HttpRequest } from "./shims/undici.js";

export type ImageMode =
  | "good"
  | "silent"
  | "hangs"
  | "panics"
  | "reboots"
  | "dies"
  | "late"
  | "babbles"
  | "twice"
  | "forged";

export interface BmcFault {
  kind: "expired" | "status" | "dropped" | "silent";
  /** The request was carried out all the same. */
  executed: boolean;
  status?: number;
}

const IMAGE_MODES: [Fault, ImageMode][] = [
  ["image silent", "silent"],
  ["image hangs", "hangs"],
  ["image panics", "panics"],
  ["image reboots", "reboots"],
  ["image dies", "dies"],
  ["image late", "late"],
  ["image babbles", "babbles"],
  ["hello twice", "twice"],
  ["hello forged", "forged"],
];

/** What one seed's adversary does to the world, wherever the world asks it. */
export class Adversary extends Share<Fault> {
  constructor(random: Random, now: () => number, quiet: boolean) {
    super(random, now, FIRST_FAULTS, quiet ? [] : [1, 2, 4, 8, 16, 32], new Map());
  }

  bmc(request: HttpRequest, _machine: object): BmcFault | null {
    const write = request.method === "POST" || request.method === "PATCH";
    const p = write ? 0.12 : 0.02;
    const executed = write && !request.path.includes("SessionService") && this.random.chance(0.5);
    if (this.does("bmc dropped", p)) return { kind: "dropped", executed };
    if (this.does("bmc silent", p)) return { kind: "silent", executed };
    if (this.does("bmc expired session", p)) return { kind: "expired", executed: true };
    for (const status of [403, 409, 412, 429, 500, 503] as const) {
      const mild = status !== 403 && status !== 409;
      if (this.does(`bmc ${status}`, mild ? p : p / 4))
        return { kind: "status", executed: status === 500 && executed, status };
    }
    if (request.path.endsWith("Sessions") && this.does("bmc 401", 0.1))
      return { kind: "status", executed: false, status: 401 };
    return null;
  }

  bmcDelay(): number {
    return this.does("bmc slow", 0.05) ? this.random.between(1_000, 12_000) : 0;
  }
  staleMs(): number {
    return this.does("bmc stale reading", 0.05) ? this.random.between(500, 8_000) : 0;
  }
  powerLie(): string | null {
    return this.does("bmc lies about power", 0.03) ? this.random.pick(["On", "Off", "PoweringOn"]) : null;
  }
  ignoresPatch(): boolean {
    return this.does("bmc ignores a change", 0.15);
  }
  losesReset(): boolean {
    return this.does("bmc loses a reset", 0.15);
  }
  showsEjected(): boolean {
    return this.does("bmc shows an ejected medium", 0.2);
  }
  ignoresOverride(): boolean {
    return this.does("override ignored", 0.4);
  }
  bootsWrong(): boolean {
    return this.does("wrong system", 0.2);
  }
  shutdown(): "obeys" | "ignores" | "late" {
    if (this.does("shutdown ignored", 0.4)) return "ignores";
    return this.does("shutdown late", 0.4) ? "late" : "obeys";
  }
  image(): ImageMode {
    for (const [fault, mode] of IMAGE_MODES) if (this.does(fault, 0.5)) return mode;
    return "good";
  }
  losesHomeCheck(): boolean {
    return this.isAway("home check lost", 0.02, 60_000);
  }
  targetsNetwork(): "dropped" | "answer lost" | null {
    if (this.isAway("target's request dropped", 0.04, 40_000)) return "dropped";
    return this.does("target's answer lost", 0.06) ? "answer lost" : null;
  }
  temporalFault(call: "signal" | "describe" | "heartbeat"): "lost" | "executed" | null {
    if (this.isAway("temporal away", call === "heartbeat" ? 0.002 : 0.1, 200_000)) return "lost";
    if (call === "heartbeat") return this.isAway("heartbeat lost", 0.004, 60_000) ? "lost" : null;
    if (this.does("signal lost", 0.2)) return "lost";
    return call === "signal" && this.does("signal executed", 0.3) ? "executed" : null;
  }
  /** When a signal reaches its workflow: late, or twice, and so in another order. */
  deliveries(): number[] {
    const first = this.does("signal late", 0.3) ? this.random.between(1_000, 120_000) : 0;
    return this.does("signal twice", 0.3) ? [first, this.random.between(0, 180_000)] : [first];
  }
  losesCompletion(_name: string): boolean {
    return this.does("completion lost", 0.1);
  }
  activityDelay(): number {
    return this.does("activity late", 0.1) ? this.random.between(1_000, 60_000) : 0;
  }
  catalogueAway(): boolean {
    return this.isAway("catalogue away", 0.1, 120_000);
  }
  diskFault(operation: string): string | null {
    if (operation === "write" && this.isAway("disk full", 0.05, 60_000)) return "ENOSPC";
    if (operation === "open" && this.isAway("no file handles", 0.03, 30_000)) return "EMFILE";
    if (["sync", "rename"].includes(operation) && this.does("disk error", 0.02)) return "EIO";
    return null;
  }
}

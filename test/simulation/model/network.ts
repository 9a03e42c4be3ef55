import type { BmcFault } from "./adversary.js";
import { Bmc, quoting } from "./bmc.js";
import { after, current, elapsed, inWorld, type Life, outside } from "./clock.js";
import type { Machine } from "./machine.js";
import type { Answered, Asked } from "./shims/listener.js";
import type { HttpRequest } from "./shims/undici.js";
import { inActivityOf } from "./temporal.js";
import type { World } from "./world.js";

interface Listener {
  life: Life;
  ask: (asked: Asked, arrives: () => boolean) => Promise<Answered>;
}

const broken = (code: string) => Object.assign(new Error(code), { code });
/** The site's own bound of one answer (headersTimeout). */
const SILENT_MS = 15_000;
const CUT_OFF: BmcFault = { kind: "silent", executed: false };

/** Everything that goes over a wire: between the site and BMCs and homes, and between targets and the site. */
export class Network {
  private readonly listeners = new Map<string, Listener>();

  constructor(private readonly world: World) {}

  listen(kind: "plain" | "tls", listener: Listener): void {
    this.listeners.set(kind, listener);
  }

  unlisten(kind: "plain" | "tls"): void {
    this.listeners.delete(kind);
  }

  /** A request of the site: to a BMC, or to a target's own system. */
  fromSite(origin: string, request: HttpRequest) {
    const [, kind, nth] = /^https:\/\/(bmc|home)-(\d+)$/.exec(origin) ?? [];
    const machine = this.world.machines[Number(nth)];
    if (!machine) throw broken("ENOTFOUND");
    if (this.world.later.noSockets()) return outside(0.1, () => Promise.reject(broken("EMFILE")));
    const asked = kind === "bmc" ? this.toBmc(machine, request) : this.toHome(machine);
    return untilAborted(asked, request.signal);
  }

  private async toBmc(machine: Machine, request: HttpRequest) {
    const session = inActivityOf();
    const isAway = this.world.now() < machine.bmc.awayUntil;
    const fault = isAway ? CUT_OFF : this.world.adversary.bmc(request, machine);
    const act = () => {
      if (fault?.kind === "expired") machine.bmc.expireSessions();
      const done = fault === null || fault.executed;
      const answer = done ? machine.bmc.handle(request, session) : null;
      const asked = `${request.method} ${request.path.split("/").at(-1)}`;
      if (fault) this.world.tell(`${machine.name}: ${asked}: ${fault.kind}${fault.executed ? ", executed" : ""}`);
      if (fault?.status) return { status: fault.status, headers: {}, body: quoting(request) };
      return answer;
    };
    const dropped = fault !== null && (fault.kind === "dropped" || fault.kind === "silent");
    const answer = await outside(this.world.random.between(2, 60) + this.world.adversary.bmcDelay(), act);
    if (dropped || answer === null) {
      const silent = fault?.kind === "silent";
      return await outside(silent ? SILENT_MS : 5, () => {
        throw broken(silent ? "UND_ERR_HEADERS_TIMEOUT" : "ECONNRESET");
      });
    }
    const text = answer.body === null ? "" : JSON.stringify(answer.body);
    return { statusCode: answer.status, headers: answer.headers, body: { text: async () => text } };
  }

  private async toHome(machine: Machine) {
    const lost = this.world.adversary.losesHomeCheck();
    const answer = await outside(this.world.random.between(2, 60), () => (lost ? null : machine.home()));
    if (answer === null) return await outside(1, () => Promise.reject(broken("ECONNREFUSED")));
    return { statusCode: 200, headers: {}, body: { text: async () => JSON.stringify(answer) } };
  }

  /** A request of a target, by whatever runs there now. */
  fromTarget(_machine: Machine, kind: "plain" | "tls", asked: Asked, limitMs: number): Promise<Answered> {
    const caller = current();
    const { random, adversary } = this.world;
    const fault = adversary.targetsNetwork();
    return new Promise((resolve, reject) => {
      let over = false;
      const end = (act: () => void) => {
        if (over || !caller.life.alive) return;
        over = true;
        act();
      };
      inWorld(() => {
        const deadline = elapsed() + limitMs;
        after(limitMs, () => end(() => reject(broken("ETIMEDOUT"))));
        after(random.between(1, 80), () => {
          const listener = this.listeners.get(kind);
          if (!listener?.life.alive || fault === "dropped") return end(() => reject(broken("ECONNREFUSED")));
          const arrives = () => fault === null && caller.life.alive && elapsed() < deadline;
          void listener.ask(asked, arrives).then((answer) => {
            if (!listener.life.alive || fault === "answer lost") return;
            inWorld(() => after(random.between(1, 80), () => end(() => resolve(answer))));
          });
        });
      });
    });
  }
}

/** Aborting gives the answer up, not the request: that may have been executed all the same. */
async function untilAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await answer;
  return await new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

export const isWrite = (request: HttpRequest): boolean => Bmc.isWrite(request);

import type { SiteActivities } from "../activities/contract.js";
import type { EventBus } from "../src/api/events.js";
import type { Phase } from "../src/domain/ids.js";
import type { SessionRecord } from "../src/domain/record.js";
import type { PhaseTime, SessionPlan } from "../src/domain/session.js";
import type { SiteEntry } from "../src/site/entry.js";
import type { SiteProgress } from "../src/site/session-link.js";

const PHASE_OF: Partial<Record<keyof SiteActivities, Phase>> = {
  stageImage: "staging",
  armTarget: "arming",
  offerTask: "working",
  restoreBoot: "restoring",
  verifyHome: "verifying",
};

/** More than a site has away at once. Watchers of the sessions beyond it get the phases of the records only. */
const MAX_SESSIONS = 4_096;

/**
 * Publishes how sessions go, from the activities' side, which costs no history and no query. A record comes at each turn of a
 * session. In between, the activities that begin at this site show which phase the session has entered.
 */
export class Watch {
  readonly #phases = new Map<string, PhaseTime[]>();

  constructor(private readonly events: EventBus) {}

  /** A record was written. */
  recorded(record: SessionRecord): void {
    const { session, target, phase, phases, outcome, failure, stranded, ending, untouched } = record;
    this.#phases.set(session, [...phases]);
    // A lost session publishes no end, so its phases are forgotten here.
    const [oldest] = this.#phases.keys();
    if (this.#phases.size > MAX_SESSIONS && oldest !== undefined) this.#phases.delete(oldest);
    this.events.publish({ type: "session.phase", session, target, phase, phases, outcome, failure, stranded });
    if (!record.endedAt) return;
    this.events.publish({ type: "session.ended", session, target, outcome, ending, untouched });
    this.#phases.delete(session);
  }

  /** An attempt of a site's activity begins. */
  begins(name: string, input: unknown): void {
    const { plan, running, epoch } = input as { plan: SessionPlan; running?: string; epoch?: number | null };
    // A power-on that belongs to an arming leads into the image; one without leads home.
    const leaves = name === "ensureOff" ? running === "home" : name === "ensureOn" && typeof epoch === "number";
    const phase = leaves ? "rebooting" : PHASE_OF[name as keyof SiteActivities];
    if (phase) this.#enters(plan.session, plan.target.name, phase);
  }

  /** What a site has seen of a boot, or heard of its agent. */
  progressed({ session, target }: Pick<SiteEntry, "session" | "target">, event: SiteProgress): void {
    if (event.what === "hello") this.hello(session, target);
    this.events.publish({
      type: "session.progress",
      session,
      target,
      what: event.what,
      task: "task" in event ? event.task : null,
      message: "message" in event ? event.message : "bytes" in event ? `${event.bytes} bytes of log` : "",
      percent: "percent" in event ? event.percent : null,
    });
  }

  /** An image made contact: work without an activity of its own, as in passive mode, begins with it. */
  hello(session: string, target: string): void {
    this.#enters(session, target, "working");
  }

  #enters(session: string, target: string, phase: Phase): void {
    const before = this.#phases.get(session);
    const last = before?.at(-1);
    if (!before || !last || last.name === phase) return;
    const at = new Date().toISOString();
    const phases = [...before.slice(0, -1), { ...last, endedAt: at }, { name: phase, startedAt: at, endedAt: null }];
    this.#phases.set(session, phases);
    const quiet = { outcome: null, failure: null, stranded: null };
    this.events.publish({ type: "session.phase", session, target, phase, phases, ...quiet });
  }
}

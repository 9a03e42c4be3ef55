import type { SearchAttributeUpdatePair } from "@temporalio/common";
import { ApplicationFailure, setCurrentDetails, upsertSearchAttributes } from "@temporalio/workflow";
import type { Effects, FailedEffects } from "../activities/contract.js";
import type { Ending, Outcome, Phase } from "../src/domain/ids.js";
import type { SessionRecord } from "../src/domain/record.js";
import type {
  BootDiagnosis,
  CampaignEnded,
  Failure,
  HomeVerdict,
  PhaseTime,
  PowerAction,
  SessionPlan,
  SessionRequest,
  SessionStatus,
  SessionSummary,
  TaskResult,
  WaitingFor,
} from "../src/domain/session.js";
import type { BootSnapshot, BootState } from "../src/domain/snapshot.js";
import { OUTCOME, PHASE } from "./attributes.js";

const now = (): string => new Date().toISOString();

/** What a session writes down: the source of its record, its status and its search attributes. */
export class Logbook {
  readonly startedAt = now();
  plan: SessionPlan | null = null;
  snapshot: BootSnapshot | null = null;
  /** The site keeps a snapshot, and the catalogue may: both are closed with the session, whether it was acknowledged or not. */
  captured = false;
  outcome: Outcome | null = null;
  ending: Ending | null = null;
  /** Nothing has been written to the target, nor asked of it. */
  untouched = true;
  failure: Failure | null = null;
  stranded: Failure | null = null;
  waitingFor: WaitingFor | null = null;
  released: { by: string; reason: string } | null = null;
  verdict: HomeVerdict | null = null;
  readonly tasks: TaskResult[] = [];
  readonly contacts: SessionRecord["contacts"] = [];
  readonly diagnoses: BootDiagnosis[] = [];
  readonly notes: string[] = [];
  private readonly phases: PhaseTime[] = [];
  private readonly attributes: SearchAttributeUpdatePair[] = [];
  private readonly powerActions: PowerAction[] = [];
  private readonly bmcRequests = { total: 0, powerPolls: 0 };
  /** Time that was the machine's own: shutting down, booting, working. Milliseconds. */
  private machineMs = 0;

  private readonly request: { target: string } & Record<
    "action" | "image" | "requestedBy" | "campaign",
    string | undefined
  >;

  /** `onPowerAction` is called with each power action that an activity tells for the first time, or with another result. */
  constructor(
    readonly session: string,
    readonly workflowId: string,
    request: SessionRequest,
    private readonly onPowerAction: (action: PowerAction) => void,
  ) {
    // A start by hand may give anything; it is refused, and its record must be one that can be read all the same.
    const text = (value: unknown) => (typeof value === "string" ? value : undefined);
    this.request = {
      target: request.target,
      action: text(request.action),
      image: text(request.image),
      requestedBy: text(request.requestedBy),
      campaign: text(request.campaign),
    };
  }

  get phase(): Phase {
    return this.phases.at(-1)?.name ?? "planning";
  }

  /** Search attributes that are told with the next phase: one event for both. */
  file(attributes: SearchAttributeUpdatePair[]): void {
    this.attributes.push(...attributes);
  }

  enter(phase: Phase): void {
    if (this.phases.at(-1)?.name === phase) return;
    const at = now();
    const last = this.phases.at(-1);
    if (last) last.endedAt = at;
    const final = phase === "restored" || phase === "released";
    this.phases.push({ name: phase, startedAt: at, endedAt: final ? at : null });
    upsertSearchAttributes([
      { key: PHASE, value: phase },
      ...this.attributes.splice(0),
      ...(this.outcome ? [{ key: OUTCOME, value: this.outcome }] : []),
    ]);
    this.tell();
  }

  /** Adds what a site activity did, and returns its result. */
  count<T extends Effects>(effects: T): T {
    this.addPowerActions(effects.powerActions);
    this.bmcRequests.total += effects.bmcRequests.total;
    this.bmcRequests.powerPolls += effects.bmcRequests.powerPolls;
    return effects;
  }

  /** Adds what an activity did to the power before it failed. */
  countFailed(error: unknown): void {
    this.addPowerActions(effectsOfFailed(error)?.powerActions ?? []);
  }

  /** An action may be told more than once: by the attempt that did it, and by all later ones. The newest result counts. */
  private addPowerActions(told: PowerAction[]): void {
    for (const action of told) {
      const index = this.powerActions.findIndex(({ at, why }) => at === action.at && why === action.why);
      const known = this.powerActions[index];
      if (known) this.powerActions[index] = action;
      else this.powerActions.push(action);
      if (known?.result !== action.result) this.onPowerAction(action);
    }
    this.powerActions.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  }

  /** Notes something worth a person's eye; the same twice in a row is one note. */
  note(text: string): void {
    if (this.notes.at(-1) !== text) this.notes.push(text);
  }

  /** What is away, and is waited for from now on; null: nothing. */
  waitFor(what: string | null): void {
    this.waitingFor = what === null ? null : { what, since: now() };
    this.tell();
  }

  spentByMachine(ms: number): void {
    this.machineMs += Math.max(0, ms);
  }

  /** When the last power-on was sent; the machine's boot is counted from there. */
  lastPowerOnAt(): number | null {
    const on = this.powerActions.findLast(({ what, result }) => what === "On" && result === "done");
    return on ? Date.parse(on.at) : null;
  }

  summary(): SessionSummary {
    return {
      session: this.session,
      target: this.request.target,
      outcome: this.outcome,
      ending: this.ending ?? "stranded",
      untouched: this.untouched,
      failure: this.failure,
      stranded: this.stranded,
    };
  }

  /** For the campaign. */
  announcement(): CampaignEnded {
    return this.waitingFor && this.ending === null
      ? { ...this.summary(), ending: "waiting", waitingFor: this.waitingFor }
      : this.summary();
  }

  status(): SessionStatus {
    return {
      session: this.session,
      target: this.request.target,
      action: this.plan?.action?.name ?? this.request.action ?? null,
      image: this.plan?.image?.name ?? this.request.image ?? null,
      requestedBy: this.plan?.requestedBy ?? this.request.requestedBy ?? "unknown",
      phase: this.phase,
      phases: this.phases,
      outcome: this.outcome,
      failure: this.failure,
      stranded: this.stranded,
      waitingFor: this.waitingFor,
      snapshot: this.snapshot,
      tasks: this.tasks,
      diagnoses: this.diagnoses,
    };
  }

  record(): Omit<SessionRecord, "findings"> {
    const ended = this.ending !== null && this.ending !== "stranded";
    const verdict = this.verdict;
    return {
      session: this.session,
      workflowId: this.workflowId,
      target: this.request.target,
      action: this.plan?.action?.name ?? this.request.action ?? null,
      image: this.plan?.image?.name ?? null,
      site: this.plan?.target.site ?? null,
      campaign: this.request.campaign ?? null,
      requestedBy: this.plan?.requestedBy ?? this.request.requestedBy ?? "unknown",
      startedAt: this.startedAt,
      endedAt: ended ? now() : null,
      phase: this.phase,
      outcome: this.outcome,
      ending: this.ending,
      untouched: this.untouched,
      failure: this.failure,
      stranded: this.stranded,
      waitingFor: this.waitingFor,
      released: this.released,
      phases: this.phases,
      restore: {
        before: this.snapshot?.state ?? null,
        after: (verdict?.after as BootState | undefined) ?? null,
        differences: verdict?.differences ?? [],
        added: verdict?.added ?? [],
      },
      home: {
        proved: verdict?.proved ?? false,
        strength: verdict?.strength ?? "none",
        before: this.snapshot?.home ?? [],
        checks: verdict?.checks ?? [],
        reason: verdict?.reason ?? null,
      },
      tasks: this.tasks,
      contacts: this.contacts,
      diagnoses: this.diagnoses,
      powerActions: this.powerActions,
      notes: this.notes,
      bmcRequests: this.bmcRequests,
      overheadMs: ended ? Math.max(0, Date.now() - Date.parse(this.startedAt) - this.machineMs) : null,
    };
  }

  /** The session so far, for the Temporal UI's «current details». Markdown. */
  private tell(): void {
    const cell = (p: PhaseTime) => (p.endedAt ? seconds(p.startedAt, p.endedAt) : "…");
    const rows = this.phases.map((p) => `| ${p.name} | ${p.startedAt.slice(11, 19)} | ${cell(p)} |`);
    const paragraphs = [
      `**${this.request.target}**: ${this.status().action ?? "restore only"}, now *${this.phase}*`,
      this.waitingFor
        ? `**Waiting for ${this.waitingFor.what}** since ${this.waitingFor.since}. It is tried again, at most 10 minutes apart; the update \`retryRestore\` tries now, \`releaseTarget\` with a reason gives up.`
        : "",
      this.stranded
        ? `**Stranded: a person must act.** ${this.stranded.message} When that is put right, send the update \`retryRestore\`; else \`releaseTarget\` with a reason.`
        : "",
      this.tellWork(),
      this.tellHome(),
      ["| phase | since (UTC) | took |", "|---|---|---|", ...rows].join("\n"),
      this.diagnoses
        .map((diagnosis, i) => `- Boot ${i + 1}, by ${diagnosis.via}, made no contact: ${diagnosis.summary}`)
        .join("\n"),
      this.notes
        .slice(-TOLD_NOTES)
        .map((note) => `- ${note}`)
        .join("\n"),
      // The UI cuts off the last line of what it renders.
      "\u00a0",
    ];
    setCurrentDetails(paragraphs.filter(Boolean).join("\n\n"));
  }

  private tellWork(): string {
    if (!this.outcome) return "";
    const tasks = this.tasks.map((task) => `${task.name} ${task.status}`).join(", ");
    return [`Work: **${this.outcome}**${tasks ? ` (${tasks})` : ""}.`, this.failure?.message ?? ""].join(" ").trim();
  }

  private tellHome(): string {
    if (this.untouched && this.ending === "restored") return "Home: nothing had been written to the target.";
    if (this.released) return `Home: not proved; released by ${this.released.by}: ${this.released.reason}`;
    if (!this.verdict?.proved) return "";
    const { strength, reason } = this.verdict;
    if (strength === "off") return "Home: **proved**. It is off, as it was.";
    if (strength === "strong") return "Home: **proved**. The same system as before runs there again.";
    return `Home: weakly proved. ${reason ?? "What answers there does not say who it is."}`;
  }
}

/** The newest notes that the details show; the record has all. */
const TOLD_NOTES = 10;

const seconds = (from: string, to: string): string => `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;

/** What an activity did to the power before it failed. */
export function effectsOfFailed(error: unknown): FailedEffects | null {
  const cause = error instanceof Error ? error.cause : null;
  if (!(cause instanceof ApplicationFailure)) return null;
  return (cause.details?.[0] as FailedEffects | undefined) ?? null;
}

/** The failure as people are told it: the innermost sentence that an activity or the workflow gave, with its code. */
export function failureOf(error: unknown): Failure {
  let current: unknown = error;
  let best: Failure = { code: "internal", message: error instanceof Error ? error.message : String(error) };
  for (let depth = 0; depth < 10 && current instanceof Error; depth++) {
    if (current instanceof ApplicationFailure) return { code: current.type ?? "internal", message: current.message };
    best = { code: current.name === "TimeoutFailure" ? "unreachable" : best.code, message: current.message };
    current = current.cause;
  }
  return best;
}

import { z } from "zod";
import { type Limits, ParamName, ParamValue, type Task } from "./action.js";
import { durationMs, Name, Sha256 } from "./basics.js";
import type { Ending, Outcome, Phase } from "./ids.js";
import { Image } from "./image.js";
import { BootSnapshot, Difference, HomeAnswer } from "./snapshot.js";
import { BootVia, Target } from "./target.js";

/**
 * How far a boot way proves that the image reaches this target and no other (docs/boot-paths.md). `sealed`: the target's BMC fetched it
 * over verified TLS. `lan`: the target is the one that it says it is.
 */
export const Grade = z.enum(["sealed", "lan"]);
export type Grade = z.infer<typeof Grade>;

/** A boot way of the plan, with the grade that it has where the site and the BMC do as they should. */
export const PlannedWay = z.object({ via: BootVia, grade: Grade });
export type PlannedWay = z.infer<typeof PlannedWay>;

/** The one argument of `maintenanceSession`. Everything else has a default. */
export const SessionRequest = z.strictObject({
  target: Name,
  action: Name.optional(),
  image: Name.optional(),
  params: z.record(ParamName, ParamValue).default({}),
  requestedBy: z.string().max(256).default("unknown"),
  /** The campaign that started it, for the search attribute. */
  campaign: z.string().max(256).optional(),
  /** Adopts the open snapshot of a lost session and only brings the target home. */
  restoreOnly: z.boolean().default(false),
  /** With `restoreOnly`: the snapshot that a site's journal kept of a lost session, for a catalogue that has lost it. */
  kept: BootSnapshot.optional(),
});
export type SessionRequest = z.input<typeof SessionRequest>;

/** Each target costs a campaign nine events; Temporal ends a workflow of 51,200. */
export const MAX_CAMPAIGN_TARGETS = 4_000;

/** The one argument of `maintenanceCampaign`. */
export const CampaignRequest = z.strictObject({
  targets: z.array(Name).max(MAX_CAMPAIGN_TARGETS).optional(),
  /** Label selector `key=value,key=value`: all must match. */
  select: z.string().max(1024).optional(),
  action: Name,
  image: Name.optional(),
  params: z.record(ParamName, ParamValue).default({}),
  requestedBy: z.string().max(256).optional(),
  onBusy: z.enum(["fail", "skip", "wait"]).default("fail"),
  /** Sessions in flight at once. */
  atOnce: z.number().int().min(1).max(500).default(20),
});
export type CampaignRequest = z.input<typeof CampaignRequest>;
/** The request with its defaults, and the targets that it means, in order. */
export type CampaignPlan = z.output<typeof CampaignRequest> & { targets: string[] };

/** A task as it is frozen in the plan: its script is in the store, under its digest. */
export const PlannedTask = z.object({
  id: z.string(),
  name: z.string(),
  scriptSha256: Sha256,
  timeoutMs: z.number().int(),
  destructive: z.boolean(),
  devices: z.array(z.string()),
});
export type PlannedTask = z.infer<typeof PlannedTask>;

/** A task as the plan and the history keep it. `id` tells tasks of one session apart. */
export const plannedTask = (task: Task, id: string, scriptSha256: string): PlannedTask => ({
  id,
  name: task.name,
  scriptSha256,
  timeoutMs: durationMs(task.timeout),
  destructive: task.destructive,
  devices: task.devices,
});

/** All deadlines in milliseconds. */
export const PlannedLimits = z.object({
  gracefulMs: z.number().int(),
  bootMs: z.number().int(),
  bootAttempts: z.number().int(),
  workMs: z.number().int(),
  leaseMs: z.number().int(),
  homeMs: z.number().int(),
  /** The whole session, counted from its plan: after that the site serves home whatever else it remembers. */
  totalMs: z.number().int(),
});
export type PlannedLimits = z.infer<typeof PlannedLimits>;
export type { Limits };

/** Target, action and image, frozen for the whole session by `planSession`. Holds references to secrets only. */
export const SessionPlan = z.object({
  session: z.string(),
  workflowId: z.string(),
  requestedBy: z.string(),
  target: Target,
  /** Null in a restore-only session and nowhere else. */
  action: z
    .object({
      name: z.string(),
      mode: z.enum(["active", "passive"]),
      report: z.enum(["inventory"]).nullable(),
      destructive: z.boolean(),
      onReboot: z.enum(["restore", "resume"]),
      approval: z.boolean(),
      interactive: z.boolean(),
      tasks: z.array(PlannedTask),
      params: z.record(z.string(), z.string()),
    })
    .nullable(),
  /** Null: the session boots no image (`reboot-only`, restore-only). */
  image: Image.nullable(),
  /** The ways that may boot the image, in the order in which they are tried. Empty where `image` is null, and nowhere else. */
  ways: z.array(PlannedWay),
  limits: PlannedLimits,
  /** The open snapshot of a session that was lost: it is adopted, and the target is brought home before anything else. */
  adopted: BootSnapshot.nullable(),
  /** Why the request itself was refused, where a target that a lost session left away is brought home all the same. */
  refusal: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type SessionPlan = z.infer<typeof SessionPlan>;

/** What of a session moves while its plan stands. It travels with each call to the site, which keeps the newest. */
export const SessionNow = z.object({
  /** Milliseconds from this call to the end of the session: no clock of the session's reaches a site. */
  leftMs: z.number().int(),
  /** How often that end was moved. A call that is tried again late has the number of the one before, and moves nothing. */
  moved: z.number().int().nonnegative(),
  /** How often a password that the BMC had refused may have been put right: by a person's word, or by a wait. */
  retries: z.number().int().nonnegative(),
});
export type SessionNow = z.infer<typeof SessionNow>;

/** The frozen plan, with what moves. */
export const SitePlan = SessionPlan.extend({ now: SessionNow });
export type SitePlan = z.infer<typeof SitePlan>;

/** What a session that is neither ended nor stranded waits for, in words such as `the BMC of r1-n07`; `since` is ISO 8601. */
export const WaitingFor = z.object({ what: z.string(), since: z.string() });
export type WaitingFor = z.infer<typeof WaitingFor>;

/** A failure as it is told to people: one sentence, with its code. */
export interface Failure {
  code: string;
  message: string;
}

export interface PhaseTime {
  name: Phase;
  startedAt: string;
  endedAt: string | null;
}

/**
 * A power action of ours: what was asked of the target (a ResetType), when (ISO 8601), and why. `unanswered`: nobody knows whether it was
 * done. `refused`: the BMC would not do it; some do it all the same.
 */
export const PowerAction = z.object({
  at: z.string(),
  what: z.string(),
  why: z.string(),
  result: z.enum(["done", "refused", "unanswered"]),
});
export type PowerAction = z.infer<typeof PowerAction>;

export const TaskResult = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(["succeeded", "failed", "timedOut", "cancelled"]),
  exitCode: z.number().nullable(),
  durationMs: z.number(),
  reason: z.string().nullable(),
  /** Digest in the store of the finding (JSON) and of the log; null when there is none. */
  findingSha256: z.string().nullable(),
  logSha256: z.string().nullable(),
});
export type TaskResult = z.infer<typeof TaskResult>;

/** What was seen when the image did not make contact. */
export const BootDiagnosis = z.object({
  /** The way of that boot. */
  via: BootVia,
  power: z.enum(["On", "Off", "unknown"]),
  scriptFetched: z.boolean(),
  kernelFetched: z.boolean(),
  initrdFetched: z.boolean(),
  homeAnswering: z.boolean(),
  bootProgress: z.string().nullable(),
  /** One sentence. */
  summary: z.string(),
});
export type BootDiagnosis = z.infer<typeof BootDiagnosis>;

/** The proof that the target is home, or why it is not. */
export const HomeVerdict = z.object({
  proved: z.boolean(),
  strength: z.enum(["strong", "weak", "off", "none"]),
  checks: z.array(HomeAnswer),
  after: z.unknown(),
  differences: z.array(Difference),
  added: z.array(z.string()),
  reason: z.string().nullable(),
});
export type HomeVerdict = z.infer<typeof HomeVerdict>;

/** Answer of the query `status`. */
export interface SessionStatus {
  session: string;
  target: string;
  action: string | null;
  image: string | null;
  requestedBy: string;
  phase: Phase;
  phases: PhaseTime[];
  outcome: Outcome | null;
  /** Why the work failed, or why the session is stranded. */
  failure: Failure | null;
  stranded: Failure | null;
  waitingFor: WaitingFor | null;
  snapshot: BootSnapshot | null;
  tasks: TaskResult[];
  diagnoses: BootDiagnosis[];
}

/** Signals. Each names its session and boot, so that a late one of another session is ignored. */
export interface HelloSignal {
  session: string;
  /** Which arming made this contact. */
  epoch: number;
  bootId: string;
  at: string;
  firmware: string | null;
  uptimeSeconds: number | null;
}
export interface DoneSignal {
  session: string;
  epoch: number;
  bootId: string;
  outcome: "succeeded" | "failed";
  reason: string | null;
  results: TaskResult[];
}
export interface RebootedSignal {
  session: string;
  epoch: number;
  bootId: string;
  /** How it was seen: a second hello, a second fetch of the boot script, or home answering during the work. */
  how: string;
}

/** Updates. */
export interface ByPerson {
  by: string;
  reason?: string;
}
/** A task for a session that works in active mode; `last` ends an interactive session when it is done. */
export interface SuppliedTask {
  by: string;
  task: PlannedTask | null;
  last: boolean;
}

/** What a session's workflow returns, and what it tells its campaign when it ends or is announced stranded. */
export interface SessionSummary {
  session: string;
  target: string;
  outcome: Outcome | null;
  ending: Ending;
  untouched: boolean;
  failure: Failure | null;
  stranded: Failure | null;
}

/** What a campaign counts. `waiting`: the way home waits for a site or BMC that is away, and the campaign goes on without the session. */
export interface CampaignEnded extends Omit<SessionSummary, "ending"> {
  ending: Ending | "waiting";
  /** Present where the ending is `waiting`. */
  waitingFor?: WaitingFor;
}

/** What a campaign's workflow returns, and its query `status`. */
export interface CampaignSummary {
  waiting: string[];
  running: string[];
  skipped: string[];
  ended: CampaignEnded[];
}

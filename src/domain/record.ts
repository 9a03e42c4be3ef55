import { z } from "zod";
import { ENDINGS, OUTCOMES, PHASES } from "./ids.js";
import { BootDiagnosis, PowerAction, TaskResult, WaitingFor } from "./session.js";
import { BootState, Difference, HomeAnswer } from "./snapshot.js";

const FailureSchema = z.object({ code: z.string(), message: z.string() });

/** The session record: what is kept of a session, by session id. Times are ISO 8601, UTC. */
export const SessionRecord = z.object({
  session: z.string(),
  workflowId: z.string(),
  target: z.string(),
  action: z.string().nullable(),
  image: z.string().nullable(),
  site: z.string().nullable(),
  campaign: z.string().nullable(),
  requestedBy: z.string(),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  phase: z.enum(PHASES),
  outcome: z.enum(OUTCOMES).nullable(),
  /** Null while the session is under way. */
  ending: z.enum(ENDINGS).nullable(),
  /** Nothing had been written to the target. */
  untouched: z.boolean(),
  failure: FailureSchema.nullable(),
  stranded: FailureSchema.nullable(),
  /** A site or BMC that is away and is tried again; null while nothing is waited for. */
  waitingFor: WaitingFor.nullable().default(null),
  released: z.object({ by: z.string(), reason: z.string() }).nullable(),
  phases: z.array(z.object({ name: z.enum(PHASES), startedAt: z.string(), endedAt: z.string().nullable() })),
  restore: z.object({
    before: BootState.nullable(),
    after: BootState.nullable(),
    differences: z.array(Difference),
    added: z.array(z.string()),
  }),
  home: z.object({
    proved: z.boolean(),
    strength: z.enum(["strong", "weak", "off", "none"]),
    /** Answers before departure, and those that proved (or did not prove) the return. */
    before: z.array(HomeAnswer),
    checks: z.array(HomeAnswer),
    reason: z.string().nullable(),
  }),
  tasks: z.array(TaskResult),
  /** Findings by task name; null for a session without any. */
  findings: z.record(z.string(), z.unknown()).nullable(),
  /** Each time an image's agent said hello. `uptimeSeconds` is counted from its kernel's start. */
  contacts: z
    .array(
      z.object({
        epoch: z.number().int(),
        bootId: z.string(),
        at: z.string(),
        firmware: z.string().nullable(),
        uptimeSeconds: z.number().nullable(),
      }),
    )
    .default([]),
  diagnoses: z.array(BootDiagnosis),
  powerActions: z.array(PowerAction),
  /** Things worth a person's eye that changed nothing, for example weak proof or an unverified certificate. */
  notes: z.array(z.string()),
  /** Requests to the BMC: all, and those that only polled the power state. */
  bmcRequests: z.object({ total: z.number().int(), powerPolls: z.number().int() }),
  /** Time that was neither the machine's shutting down and booting nor its work, in milliseconds. */
  overheadMs: z.number().nullable(),
});
export type SessionRecord = z.infer<typeof SessionRecord>;

import { z } from "zod";
import { Action, ParamName, ParamValue, Task } from "../domain/action.js";
import { Name } from "../domain/basics.js";
import { KINDS } from "../domain/documents.js";
import { ERROR_CODES } from "../domain/errors.js";
import { Image } from "../domain/image.js";
import { SessionRecord } from "../domain/record.js";
import { CampaignRequest } from "../domain/session.js";
import { Target } from "../domain/target.js";

/** The bodies and answers of the REST API, shared by the server, its OpenAPI document and the client. */

/** RFC 9457. `type` is a URN: there is no page behind it, and `code` says the same in one word. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  code: z.enum(ERROR_CODES),
  facts: z.record(z.string(), z.unknown()).optional(),
});
export type Problem = z.infer<typeof Problem>;

export const Applied = z.object({
  kind: z.enum(KINDS),
  name: z.string(),
  result: z.enum(["created", "changed", "unchanged", "valid"]),
});
export type Applied = z.infer<typeof Applied>;
export const AppliedList = z.object({ results: z.array(Applied) });

export const SessionSummary = SessionRecord.pick({
  session: true,
  target: true,
  action: true,
  image: true,
  campaign: true,
  requestedBy: true,
  startedAt: true,
  endedAt: true,
  phase: true,
  outcome: true,
  ending: true,
  waitingFor: true,
  untouched: true,
  failure: true,
  stranded: true,
});
export type SessionSummary = z.infer<typeof SessionSummary>;
export const SessionList = z.object({ items: z.array(SessionSummary) });

/** Who asks, as the record will name them. The token proves an operator, not which one. */
const By = z.string().min(1).max(256).default("api");

export const StartBody = z
  .strictObject({
    target: Name.optional(),
    targets: z.array(Name).min(1).max(100).optional(),
    action: Name.optional(),
    image: Name.optional(),
    params: z.record(ParamName, ParamValue).default({}),
    requestedBy: By,
    /** Adopts the open boot snapshot of a lost session and only brings the target home. */
    restoreOnly: z.boolean().default(false),
  })
  .refine((b) => (b.target === undefined) !== (b.targets === undefined), {
    message: "name one target, or several as targets",
    path: ["target"],
  })
  .refine((b) => b.restoreOnly || b.action !== undefined, { message: "name the action", path: ["action"] });
export type StartBody = z.input<typeof StartBody>;

export const Started = z.object({ target: z.string(), session: z.string(), workflowId: z.string() });
export type Started = z.infer<typeof Started>;
export const StartAnswer = z.object({
  started: z.array(Started),
  refused: z.array(z.object({ target: z.string(), problem: Problem })),
});
export type StartAnswer = z.infer<typeof StartAnswer>;

export const PersonBody = z.strictObject({ by: By, reason: z.string().max(1024).optional() });
export type PersonBody = z.input<typeof PersonBody>;
export const ReleaseBody = z.strictObject({
  by: By,
  reason: z.string().min(1, "say why the target is released without a proof that it is home").max(1024),
});
export const SupplyBody = z
  .strictObject({
    by: By,
    reason: z.string().max(1024).optional(),
    task: Task.optional(),
    /** The task as YAML, whose errors then name `file`, line and column. */
    yaml: z.strictObject({ text: z.string().max(1024 * 1024), file: z.string().max(1024) }).optional(),
    /** Nothing comes after this: the session goes home when it is done. */
    last: z.boolean().default(false),
  })
  .refine((b) => b.task === undefined || b.yaml === undefined, { message: "give it once", path: ["task"] })
  .refine((b) => b.last || b.task !== undefined || b.yaml !== undefined, {
    message: "give a task, or say that nothing more comes with last",
    path: ["task"],
  });
export type SupplyBody = z.input<typeof SupplyBody>;

export const Noted = z.object({ target: z.string(), session: z.string().nullable() });
export const Supplied = Noted.extend({ task: z.string() });

export const LogList = z.object({
  items: z.array(z.object({ task: z.string(), name: z.string(), status: z.string(), sha256: z.string() })),
});

export const CampaignView = z.object({
  id: z.string(),
  running: z.boolean(),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  failure: z.string().nullable(),
  sessions: z.array(SessionSummary),
});
export type CampaignView = z.infer<typeof CampaignView>;
export const CampaignList = z.object({ items: z.array(CampaignView.omit({ failure: true, sessions: true })) });
export const CampaignStarted = z.object({ id: z.string() });

export const Readiness = z.object({
  ready: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});
export type Readiness = z.infer<typeof Readiness>;

/** The kinds as they are named in paths. */
export const COLLECTIONS = { targets: "Target", images: "Image", actions: "Action" } as const;
export type Collection = keyof typeof COLLECTIONS;

export { Action, CampaignRequest, Image, SessionRecord, Target };

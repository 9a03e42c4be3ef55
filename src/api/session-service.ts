import type { Task } from "../domain/action.js";
import type { ByPerson, CampaignRequest, SessionRequest, SessionStatus } from "../domain/session.js";
import type { CampaignState, SessionRef } from "../temporal/session-service.js";

export type { CampaignState, SessionRef };

export interface HealthCheck {
  name: string;
  ok: boolean;
  /** One sentence; with a remedy where `ok` is false. */
  detail: string;
}

/**
 * What the API asks of the sessions; implemented over Temporal by `src/temporal`.
 *
 * Errors are `PitstopError`: `busy` when the target has a session already, `notFound` when the session is not open, `invalid`
 * or `refused` from the session's own validators, with their sentence, `unreachable` when Temporal is away.
 */
export interface SessionService {
  /** Resolves when Temporal has taken the session; `session` is its first run id. */
  startSession(request: SessionRequest): Promise<{ workflowId: string; session: string }>;
  /** The target's open session, by Temporal itself, which needs no worker. Null when none is open. */
  openSession(target: string): Promise<string | null>;
  /** What the session says of itself now; null when there is no such session. */
  status(ref: SessionRef): Promise<SessionStatus | null>;
  abort(ref: SessionRef, person: ByPerson): Promise<void>;
  approve(ref: SessionRef, person: ByPerson): Promise<void>;
  /**
   * Puts the script into the store, and sends its digest to the session. Returns the task's id in the session. `last`: no task
   * comes after this one; with `task` null the call says only that.
   */
  supplyTask(ref: SessionRef, person: ByPerson, task: Task | null, last: boolean): Promise<{ task: string }>;
  retryRestore(ref: SessionRef, person: ByPerson): Promise<void>;
  releaseTarget(ref: SessionRef, person: ByPerson & { reason: string }): Promise<void>;
  startCampaign(request: CampaignRequest): Promise<{ id: string }>;
  campaign(id: string): Promise<CampaignState | null>;
  /** The newest first, however they were started. Why one failed, `campaign` says. */
  campaigns(limit: number): Promise<Omit<CampaignState, "failure">[]>;
  health(): Promise<HealthCheck[]>;
}

/** Reads task logs by digest; an object store is one. */
export interface LogReader {
  get(sha256: string): Promise<Uint8Array>;
}

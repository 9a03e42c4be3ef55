import type { Task } from "../domain/action.js";
import type { ByPerson, CampaignRequest, SessionRequest, SessionStatus } from "../domain/session.js";
import type { CampaignState, SessionRef } from "../temporal/door.js";

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
 * Errors are `PitstopError`: `busy` when the target has a session already, `notFound` when the session asked for is not
 * open, `invalid` or `refused` in the words of the session's own validators, `unreachable` when Temporal is away.
 */
export interface SessionsDoor {
  /** Resolves when Temporal has taken the session; `session` is its first run id. */
  startSession(request: SessionRequest): Promise<{ workflowId: string; session: string }>;
  /** The target's open session, by Temporal itself: also while no worker lives to ask it. Null when none is open. */
  openSession(target: string): Promise<string | null>;
  /** What the session says of itself now; null when there is no such session. */
  status(ref: SessionRef): Promise<SessionStatus | null>;
  abort(ref: SessionRef, person: ByPerson): Promise<void>;
  approve(ref: SessionRef, person: ByPerson): Promise<void>;
  /**
   * The script goes to the store and the session gets its digest; returns the task's id in the session. With `last`
   * nothing comes after it, and without a task that is all that is said.
   */
  supplyTask(ref: SessionRef, person: ByPerson, task: Task | null, last: boolean): Promise<{ task: string }>;
  retryRestore(ref: SessionRef, person: ByPerson): Promise<void>;
  releaseTarget(ref: SessionRef, person: ByPerson & { reason: string }): Promise<void>;
  startCampaign(request: CampaignRequest): Promise<{ id: string }>;
  campaign(id: string): Promise<CampaignState | null>;
  /** Newest first, whoever started them; without why they failed, which `campaign` tells. */
  campaigns(limit: number): Promise<Omit<CampaignState, "failure">[]>;
  health(): Promise<HealthCheck[]>;
}

/** Reads task logs by digest; an object store is one. */
export interface LogReader {
  get(sha256: string): Promise<Uint8Array>;
}

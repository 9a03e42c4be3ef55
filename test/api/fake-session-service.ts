import type { CampaignState, HealthCheck, SessionRef, SessionService } from "../../src/api/session-service.js";
import type { Task } from "../../src/domain/action.js";
import { PitstopError } from "../../src/domain/errors.js";
import type { ByPerson, CampaignRequest, SessionRequest, SessionStatus } from "../../src/domain/session.js";

/** Sessions that do nothing by themselves; it writes down what was asked. */
export class FakeSessionService implements SessionService {
  readonly asked: unknown[] = [];
  readonly statuses = new Map<string, SessionStatus>();
  readonly started = new Map<string, CampaignState>();
  checks: HealthCheck[] = [{ name: "temporal", ok: true, detail: "answers" }];
  /** Thrown by the next calls. */
  failure: Error | null = null;
  /** Thrown where a session itself is asked: no worker lives. */
  silence: Error | null = null;
  #count = 0;

  async startSession(request: SessionRequest) {
    this.#fail();
    const status = this.statuses.get(request.target);
    if (status) {
      throw new PitstopError(
        "busy",
        `Target ${request.target} has session ${status.session}; wait for it, or abort it.`,
      );
    }
    this.#count += 1;
    const session = `session-${this.#count}`;
    this.asked.push(["start", request]);
    this.statuses.set(request.target, statusOf(session, request.target, request.action ?? null));
    return { workflowId: `maintenance/${request.target}`, session };
  }
  async openSession(target: string) {
    this.#fail();
    const status = this.statuses.get(target);
    return status && status.phase !== "restored" ? status.session : null;
  }
  /** How often a session's status was asked for. */
  looks = 0;
  async status(ref: SessionRef) {
    this.looks++;
    this.#fail();
    if (this.silence) throw this.silence;
    const status = this.statuses.get(ref.target);
    return status && (ref.session === null || ref.session === status.session) ? status : null;
  }
  async abort(ref: SessionRef, person: ByPerson) {
    this.#note("abort", ref, person);
  }
  async approve(ref: SessionRef, person: ByPerson) {
    this.#note("approve", ref, person);
  }
  async retryRestore(ref: SessionRef, person: ByPerson) {
    this.#note("retry", ref, person);
  }
  async releaseTarget(ref: SessionRef, person: ByPerson & { reason: string }) {
    this.#note("release", ref, person);
  }
  async supplyTask(ref: SessionRef, person: ByPerson, task: Task | null, last: boolean) {
    this.#note("supply", ref, { ...person, task: task?.name ?? null, last });
    return { task: "task-7" };
  }
  async startCampaign(request: CampaignRequest) {
    this.#fail();
    this.asked.push(["campaign", request]);
    const id = "campaign/1";
    this.started.set(id, { id, running: true, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null, failure: null });
    return { id };
  }
  async campaign(id: string) {
    return this.started.get(id) ?? null;
  }
  async campaigns(limit: number) {
    this.#fail();
    const all = [...this.started.values()].reverse().slice(0, limit);
    return all.map(({ id, running, startedAt, endedAt }) => ({ id, running, startedAt, endedAt }));
  }
  async health() {
    this.#fail();
    return this.checks;
  }

  #note(what: string, ref: SessionRef, person: unknown) {
    this.#fail();
    this.asked.push([what, ref, person]);
  }
  #fail() {
    if (this.failure) throw this.failure;
  }
}

export const statusOf = (
  session: string,
  target: string,
  action: string | null,
  more: Partial<SessionStatus> = {},
): SessionStatus => ({
  session,
  target,
  action,
  image: null,
  requestedBy: "tester",
  phase: "planning",
  phases: [{ name: "planning", startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }],
  outcome: null,
  failure: null,
  stranded: null,
  waitingFor: null,
  snapshot: null,
  tasks: [],
  diagnoses: [],
  ...more,
});

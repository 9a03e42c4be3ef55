import type { Catalogue } from "../catalogue/catalogue.js";
import { PitstopError } from "../domain/errors.js";
import { sessionWorkflowId } from "../domain/ids.js";
import type { SessionRecord } from "../domain/record.js";
import type { SessionStatus } from "../domain/session.js";
import type { SessionRef, SessionService } from "./session-service.js";

/** Sessions that were started here lately, for the moment before their first record. */
const REMEMBERED = 1000;

/** Finds sessions by session id or target name, in the records and, where they are open, in what they say of themselves. */
export class SessionView {
  readonly #started = new Map<string, string>();

  constructor(
    private readonly catalogue: Catalogue,
    private readonly sessions: SessionService,
  ) {}

  remember(session: string, target: string): void {
    this.#started.set(session, target);
    const oldest = this.#started.keys().next();
    if (this.#started.size > REMEMBERED && !oldest.done) this.#started.delete(oldest.value);
  }

  /** The record, merged with the live status while it is open. `id` is a session id, or a target's name (its newest). */
  async show(id: string): Promise<SessionRecord> {
    const record = await this.#record(id);
    const named = record !== null && record.session === id;
    if (record !== null && named && record.endedAt !== null) return record;
    const target = record?.target ?? this.#started.get(id) ?? id;
    const status = await this.#liveStatus({ target, session: named || this.#started.has(id) ? id : null }, record);
    if (status === null) {
      if (record) return record;
      throw new PitstopError(
        "notFound",
        `There is no session ${id}, nor a target ${id} with one; "pitstop get sessions" lists them.`,
      );
    }
    if (record && record.session === status.session) return record.endedAt === null ? merge(record, status) : record;
    // A target's last record may be of an earlier session than the one that is running: the newer one is meant.
    return record && isOver(status) ? record : fromStatus(status);
  }

  /** The open session that `id` means; `conflict` when it has ended, `notFound` when there is none. */
  async open(id: string, wish: string): Promise<SessionRef> {
    const record = await this.#record(id);
    if (record?.session === id) {
      if (record.endedAt === null) return { target: record.target, session: id };
      throw new PitstopError(
        "conflict",
        `Session ${id} of target ${record.target} has ended (${record.ending ?? record.phase}); there is nothing to ${wish}.`,
      );
    }
    const started = this.#started.get(id);
    if (started !== undefined) return { target: started, session: id };
    if (record?.endedAt === null) return { target: record.target, session: record.session };
    const status = await this.sessions.status({ target: id, session: null });
    if (status && !isOver(status)) return { target: id, session: status.session };
    throw new PitstopError(
      "notFound",
      `There is no open session ${id}, nor a target ${id} with one; "pitstop get sessions" lists them.`,
    );
  }

  async #record(id: string): Promise<SessionRecord | null> {
    const bySession = await this.catalogue.getRecord(id);
    if (bySession) return bySession;
    const [newest] = await this.catalogue.listRecords({ target: id, limit: 1 });
    return newest ?? null;
  }

  /** While the session does not answer its record alone is the answer: it says when it was written. */
  async #liveStatus(ref: SessionRef, record: SessionRecord | null): Promise<SessionStatus | null> {
    try {
      return await this.sessions.status(ref);
    } catch (error) {
      const isAway = error instanceof PitstopError && error.code === "unreachable";
      if (isAway && record !== null && !(await this.#isFollowed(ref, record))) return null;
      throw error;
    }
  }

  /**
   * Whether a session has begun since the target's last record, and has none yet: who asks for the target would take the
   * last one's ending for its ending. Throws while Temporal does not tell.
   */
  async #isFollowed({ target, session }: SessionRef, record: SessionRecord): Promise<boolean> {
    if (session !== null || record.endedAt === null) return false;
    const open = await this.sessions.openSession(target);
    return open !== null && open !== record.session;
  }
}

const isOver = (status: SessionStatus): boolean => status.phase === "restored" || status.phase === "released";

const live = (status: SessionStatus) => ({
  phase: status.phase,
  phases: status.phases,
  outcome: status.outcome,
  failure: status.failure,
  stranded: status.stranded,
  waitingFor: status.waitingFor,
  tasks: status.tasks,
  diagnoses: status.diagnoses,
});

function merge(record: SessionRecord, status: SessionStatus): SessionRecord {
  return {
    ...record,
    ...live(status),
    restore: { ...record.restore, before: status.snapshot?.state ?? record.restore.before },
  };
}

/** What can be said of a session before its first record. */
function fromStatus(status: SessionStatus): SessionRecord {
  return {
    session: status.session,
    workflowId: sessionWorkflowId(status.target),
    target: status.target,
    action: status.action,
    image: status.image,
    site: null,
    campaign: null,
    requestedBy: status.requestedBy,
    startedAt: status.phases[0]?.startedAt ?? new Date().toISOString(),
    endedAt: null,
    ending: status.phase === "stranded" ? "stranded" : null,
    untouched: false,
    released: null,
    restore: { before: status.snapshot?.state ?? null, after: null, differences: [], added: [] },
    home: { proved: false, strength: "none", before: status.snapshot?.home ?? [], checks: [], reason: null },
    findings: null,
    contacts: [],
    powerActions: [],
    notes: [],
    bmcRequests: { total: 0, powerPolls: 0 },
    overheadMs: null,
    ...live(status),
  };
}

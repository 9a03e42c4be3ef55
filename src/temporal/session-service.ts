import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from "@temporalio/client";
import { ApplicationFailure } from "@temporalio/common";
import { ACTION } from "../../workflows/attributes.js";
import type { maintenanceCampaign } from "../../workflows/maintenanceCampaign.js";
import type { Task } from "../domain/action.js";
import { ERROR_CODES, type ErrorCode, messageOf, PitstopError } from "../domain/errors.js";
import { CENTRAL_QUEUE, sessionWorkflowId } from "../domain/ids.js";
import type { ByPerson, CampaignRequest, SessionRequest, SessionStatus } from "../domain/session.js";
import { plannedTask, type SuppliedTask } from "../domain/session.js";
import { launchSession } from "./launch.js";

/** How long an update waits for the worker that answers it. */
const UPDATE_TIMEOUT_MS = 15_000;

/** How long a new session waits for one that is ending, which closes its workflow within a few workflow tasks. */
const ENDING_MS = 3_000;
const ENDING_POLL_MS = 50;

/** A target's session. Without `session`: the one that is running now. */
export interface SessionRef {
  target: string;
  session: string | null;
}

export interface CampaignState {
  id: string;
  running: boolean;
  startedAt: string;
  endedAt: string | null;
  /** Why it ended before its sessions did; one sentence. */
  failure: string | null;
}

/** Starts sessions and campaigns, sends people's decisions to them, and asks for their status. Throws `unreachable` while Temporal is away. */
export class TemporalSessionService {
  constructor(
    private readonly client: Client,
    /** Puts a script into the object store and returns its digest. */
    private readonly keepScript: (script: string) => Promise<string>,
  ) {}

  /** `busy` when a session of the target is open. Returns the session's id, which is its first run id. */
  async startSession(request: SessionRequest, waitMs = ENDING_MS): Promise<{ workflowId: string; session: string }> {
    const workflowId = sessionWorkflowId(request.target);
    try {
      return { workflowId, session: await launchSession(this.client, request) };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) {
        // A caller that has just read that the last session ended must not find the target busy.
        if (waitMs > 0 && (await this.isEnding(request.target))) {
          await delay(ENDING_POLL_MS);
          return await this.startSession(request, waitMs - ENDING_POLL_MS);
        }
        throw new PitstopError(
          "busy",
          `${request.target} is busy: a session holds it. "pitstop session show ${request.target}" tells which; wait for it, or abort it.`,
        );
      }
      throw unreachable(error);
    }
  }

  /** The open session of a target; null when none is open. */
  async openSession(target: string): Promise<string | null> {
    const description = await this.describe(sessionWorkflowId(target));
    if (description?.status.name !== "RUNNING") return null;
    return description.raw.workflowExecutionInfo?.firstRunId ?? description.runId;
  }

  /** What the session says of itself; without a session id, the target's newest. Null when there is no such session. */
  async status({ target, session }: SessionRef): Promise<SessionStatus | null> {
    try {
      const status = await this.client.workflow.getHandle(sessionWorkflowId(target)).query<SessionStatus>("status");
      return session === null || status.session === session ? status : null;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw unreachable(error);
    }
  }

  approve = (ref: SessionRef, person: ByPerson): Promise<void> => this.update(ref, "approve", person);
  abort = (ref: SessionRef, person: ByPerson): Promise<void> => this.update(ref, "abort", person);
  retryRestore = (ref: SessionRef, person: ByPerson): Promise<void> => this.update(ref, "retryRestore", person);
  releaseTarget = (ref: SessionRef, person: ByPerson): Promise<void> => this.update(ref, "releaseTarget", person);

  /** Puts the script into the store and sends its digest to the session. With `task` null it only says that no more tasks come. */
  async supplyTask(ref: SessionRef, person: ByPerson, task: Task | null, last = false): Promise<{ task: string }> {
    const id = `supplied-${randomUUID()}`;
    const planned = task && plannedTask(task, id, await this.keepScript(task.script));
    const supplied: SuppliedTask = { by: person.by, task: planned, last };
    await this.update(ref, "supplyTask", supplied);
    return { task: id };
  }

  async startCampaign(request: CampaignRequest): Promise<{ id: string }> {
    const id = `campaign/${randomUUID()}`;
    try {
      await this.client.workflow.start<typeof maintenanceCampaign>("maintenanceCampaign", {
        workflowId: id,
        taskQueue: CENTRAL_QUEUE,
        args: [request],
        staticSummary: `${request.action} on ${request.targets?.join(", ") ?? request.select ?? ""}`.slice(0, 200),
        typedSearchAttributes: [{ key: ACTION, value: request.action }],
      });
      return { id };
    } catch (error) {
      throw unreachable(error);
    }
  }

  /** Null when there is no such campaign. */
  async campaign(id: string): Promise<CampaignState | null> {
    const description = await this.describe(id);
    if (!description) return null;
    const running = description.status.name === "RUNNING";
    return {
      id,
      running,
      startedAt: description.startTime.toISOString(),
      endedAt: description.closeTime?.toISOString() ?? null,
      failure: running || description.status.name === "COMPLETED" ? null : await this.whyFailed(id),
    };
  }

  /** Newest first, as Temporal lists them; started here or by hand. */
  async campaigns(limit: number): Promise<Omit<CampaignState, "failure">[]> {
    const found: Omit<CampaignState, "failure">[] = [];
    try {
      const all = this.client.workflow.list({ query: "WorkflowType = 'maintenanceCampaign'", pageSize: limit });
      for await (const { workflowId, status, startTime, closeTime } of all) {
        found.push({
          id: workflowId,
          running: status.name === "RUNNING",
          startedAt: startTime.toISOString(),
          endedAt: closeTime?.toISOString() ?? null,
        });
        if (found.length >= limit) break;
      }
    } catch (error) {
      throw unreachable(error);
    }
    return found;
  }

  async health(): Promise<{ name: string; ok: boolean; detail: string }[]> {
    try {
      const info = await this.client.connection.workflowService.getSystemInfo({});
      return [{ name: "temporal", ok: true, detail: `Temporal server ${info.serverVersion} answers.` }];
    } catch (error) {
      return [{ name: "temporal", ok: false, detail: unreachable(error).message }];
    }
  }

  /** The session has told its ending and is about to let go of the target. */
  private async isEnding(target: string): Promise<boolean> {
    const status = await this.status({ target, session: null });
    return status === null || status.phase === "restored" || status.phase === "released";
  }

  private async describe(workflowId: string) {
    try {
      return await this.client.workflow.getHandle(workflowId).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw unreachable(error);
    }
  }

  private async whyFailed(workflowId: string): Promise<string> {
    try {
      await this.client.workflow.getHandle(workflowId).result();
      return "It ended.";
    } catch (error) {
      return error instanceof WorkflowFailedError ? messageOf(error.cause ?? error) : messageOf(error);
    }
  }

  private async update({ target, session }: SessionRef, name: string, argument: unknown): Promise<void> {
    if (session !== null && (await this.openSession(target)) !== session) throw noSession(target);
    const handle = this.client.workflow.getHandle(sessionWorkflowId(target));
    try {
      await this.client.connection.withDeadline(Date.now() + UPDATE_TIMEOUT_MS, () =>
        handle.executeUpdate<void, [unknown]>(name, { args: [argument] }),
      );
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) throw noSession(target);
      if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
        throw new PitstopError(codeOf(error.cause.type), error.cause.message);
      }
      throw unreachable(error);
    }
  }
}

const noSession = (target: string) =>
  new PitstopError("notFound", `${target} has no open session; "pitstop get sessions" lists those that ended.`);

const codeOf = (type: string | null | undefined): ErrorCode =>
  (ERROR_CODES as readonly string[]).includes(type ?? "") ? (type as ErrorCode) : "conflict";

const unreachable = (error: unknown) =>
  error instanceof PitstopError
    ? error
    : new PitstopError(
        "unreachable",
        `Temporal did not answer: ${messageOf(error)}. Try again; /readyz tells its state.`,
        {
          cause: error,
        },
      );

import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from "@temporalio/client";
import { ApplicationFailure } from "@temporalio/common";
import { ACTION, PHASE, TARGET } from "../../workflows/attributes.js";
import type { maintenanceCampaign } from "../../workflows/maintenanceCampaign.js";
import type { maintenanceSession } from "../../workflows/maintenanceSession.js";
import { ERROR_CODES, type ErrorCode, messageOf, PitstopError } from "../domain/errors.js";
import { CENTRAL_QUEUE, sessionWorkflowId } from "../domain/ids.js";
import type {
  ByPerson,
  CampaignRequest,
  CampaignSummary,
  SessionRequest,
  SessionStatus,
  SuppliedTask,
} from "../domain/session.js";

/** An update is answered by a worker; without one in this time the caller is told that nobody works. */
const UPDATE_TIMEOUT_MS = 15_000;

/** Starts sessions and campaigns, and brings people's words to them. */
export class TemporalDoor {
  constructor(private readonly client: Client) {}

  /** `busy` when a session of the target is open. Returns the session's id, which is its first run id. */
  async startSession(request: SessionRequest): Promise<{ workflowId: string; session: string }> {
    const workflowId = sessionWorkflowId(request.target);
    try {
      const handle = await this.client.workflow.start<typeof maintenanceSession>("maintenanceSession", {
        workflowId,
        taskQueue: CENTRAL_QUEUE,
        args: [request],
        staticSummary: `${request.action ?? "restore only"} on ${request.target}`.slice(0, 200),
        typedSearchAttributes: [
          { key: TARGET, value: request.target },
          { key: PHASE, value: "planning" },
          ...(request.action ? [{ key: ACTION, value: request.action }] : []),
        ],
      });
      return { workflowId, session: handle.firstExecutionRunId };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) {
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
    try {
      const description = await this.client.workflow.getHandle(sessionWorkflowId(target)).describe();
      if (description.status.name !== "RUNNING") return null;
      return description.raw.workflowExecutionInfo?.firstRunId ?? description.runId;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw unreachable(error);
    }
  }

  /** Live status of the target's open or last session. `notFound` when there never was one. */
  async status(target: string): Promise<SessionStatus> {
    try {
      return await this.client.workflow.getHandle(sessionWorkflowId(target)).query<SessionStatus>("status");
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) throw noSession(target);
      throw unreachable(error);
    }
  }

  approve = (target: string, person: ByPerson): Promise<void> => this.update(target, "approve", person);
  abort = (target: string, person: ByPerson): Promise<void> => this.update(target, "abort", person);
  supplyTask = (target: string, supplied: SuppliedTask): Promise<void> => this.update(target, "supplyTask", supplied);
  retryRestore = (target: string, person: ByPerson): Promise<void> => this.update(target, "retryRestore", person);
  releaseTarget = (target: string, person: ByPerson): Promise<void> => this.update(target, "releaseTarget", person);

  /** Starts a campaign; `key` makes its workflow id, so that the same key is the same campaign. */
  async startCampaign(request: CampaignRequest, key: string): Promise<{ campaign: string }> {
    const campaign = `campaign/${key}`;
    try {
      await this.client.workflow.start<typeof maintenanceCampaign>("maintenanceCampaign", {
        workflowId: campaign,
        taskQueue: CENTRAL_QUEUE,
        args: [request],
        staticSummary: `${request.action} on ${request.targets?.join(", ") ?? request.select ?? ""}`.slice(0, 200),
        typedSearchAttributes: [{ key: ACTION, value: request.action }],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw unreachable(error);
    }
    return { campaign };
  }

  async campaignStatus(campaign: string): Promise<{ status: string; summary: CampaignSummary }> {
    try {
      const handle = this.client.workflow.getHandle(campaign);
      const description = await handle.describe();
      return { status: description.status.name.toLowerCase(), summary: await handle.query<CampaignSummary>("status") };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError)
        throw new PitstopError("notFound", `There is no campaign "${campaign}".`);
      throw unreachable(error);
    }
  }

  /** Throws `unreachable` when Temporal does not answer. */
  async health(): Promise<void> {
    try {
      await this.client.connection.workflowService.getSystemInfo({});
    } catch (error) {
      throw unreachable(error);
    }
  }

  private async update(target: string, name: string, argument: unknown): Promise<void> {
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

import { type Client, WorkflowNotFoundError } from "@temporalio/client";
import { PitstopError } from "../domain/errors.js";
import { sessionWorkflowId } from "../domain/ids.js";
import type { DoneSignal, HelloSignal, RebootedSignal } from "../domain/session.js";
import type { SiteEntry } from "../site/entry.js";
import type { SessionLink, SiteProgress } from "../site/session-link.js";
import { stateOf } from "./session-states.js";

/** A site's link to its sessions, by signals. Each names its session, arming and boot. */
export function temporalLink(client: Client, progress: (entry: SiteEntry, event: SiteProgress) => void): SessionLink {
  const signal = async (entry: SiteEntry, name: string, payload: HelloSignal | DoneSignal | RebootedSignal) => {
    try {
      await client.workflow.getHandle(sessionWorkflowId(entry.target)).signal(name, payload);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) {
        throw new PitstopError("notFound", `The session ${entry.session} of ${entry.target} has ended.`, {
          cause: error,
        });
      }
      throw error;
    }
  };
  const of = (entry: SiteEntry, bootId: string) => ({
    session: entry.session,
    epoch: entry.boot?.epoch ?? 0,
    bootId,
  });
  return {
    hello: (entry, request) =>
      signal(entry, "hello", {
        ...of(entry, request.bootId),
        at: entry.boot?.helloAt ?? new Date().toISOString(),
        firmware: request.firmware,
        uptimeSeconds: request.uptimeSeconds,
      }),
    done: (entry, request, results) =>
      signal(entry, "done", {
        ...of(entry, entry.boot?.bootId ?? ""),
        outcome: request.outcome,
        reason: request.reason,
        results,
      }),
    rebooted: (entry, bootId, how) => signal(entry, "rebooted", { ...of(entry, bootId), how }),
    isAlive: (entry) => isSessionOpen(client, entry.target, entry.session),
    isOver: async (target, session) => (await stateOf(client, target, session)).is === "ended",
    progress,
  };
}

/** Whether this session is open at Temporal. A later session of the same target does not count. */
export async function isSessionOpen(client: Client, target: string, session: string): Promise<boolean> {
  try {
    const description = await client.workflow.getHandle(sessionWorkflowId(target)).describe();
    const first = description.raw.workflowExecutionInfo?.firstRunId ?? description.runId;
    return description.status.name === "RUNNING" && first === session;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

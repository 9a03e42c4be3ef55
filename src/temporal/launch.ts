import type { Client } from "@temporalio/client";
import { ACTION, PHASE, TARGET } from "../../workflows/attributes.js";
import type { maintenanceSession } from "../../workflows/maintenanceSession.js";
import { CENTRAL_QUEUE, sessionWorkflowId } from "../domain/ids.js";
import type { SessionRequest } from "../domain/session.js";

/** Starts a session under its target's lock; `WorkflowExecutionAlreadyStartedError` where one holds it. */
export async function launchSession(client: Client, request: SessionRequest): Promise<string> {
  const handle = await client.workflow.start<typeof maintenanceSession>("maintenanceSession", {
    workflowId: sessionWorkflowId(request.target),
    taskQueue: CENTRAL_QUEUE,
    args: [request],
    staticSummary: `${request.action ?? "restore only"} on ${request.target}`.slice(0, 200),
    typedSearchAttributes: [
      { key: TARGET, value: request.target },
      { key: PHASE, value: "planning" },
      ...(request.action ? [{ key: ACTION, value: request.action }] : []),
    ],
  });
  return handle.firstExecutionRunId;
}

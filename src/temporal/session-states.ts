import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from "@temporalio/client";
import { PHASE } from "../../workflows/attributes.js";
import { sessionWorkflowId } from "../domain/ids.js";
import type { SessionSummary } from "../domain/session.js";
import type { SessionState, SessionStates } from "../domain/session-states.js";
import { ensureSearchAttributes, knowsSearchAttributes } from "./attributes.js";
import type { TemporalConnections } from "./connect.js";
import { launchSession } from "./launch.js";

const HELD = "WorkflowType = 'maintenanceSession' AND ExecutionStatus = 'Running'";
const LOCK = sessionWorkflowId("");

/** What became of sessions, by Temporal itself. */
export function sessionStates({ client, connection, namespace }: TemporalConnections): SessionStates {
  return {
    async held() {
      // A server that lost its database has lost its search attributes too, without which no session can take a step.
      if (!(await knowsSearchAttributes(client))) await ensureSearchAttributes(connection, namespace);
      const targets = new Set<string>();
      for await (const { workflowId } of client.workflow.list({ query: HELD, pageSize: 1000 })) {
        if (workflowId.startsWith(LOCK)) targets.add(workflowId.slice(LOCK.length));
      }
      return targets;
    },

    of: (target, session) => stateOf(client, target, session),

    async bringHome(target, kept) {
      try {
        const request = { target, restoreOnly: true, requestedBy: "the reconciler", ...(kept ? { kept } : {}) };
        return await launchSession(client, request);
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
        throw error;
      }
    },
  };
}

/** What became of a session. The newest run of its target may be another run of it, or of a later session. */
export async function stateOf(client: Client, target: string, session: string): Promise<SessionState> {
  const newest = await describe(client, target);
  if (newest?.first === session) return await stateOfRun(client, newest);
  // A later session, or a reset, has replaced it: the run with the session's id says what became of it.
  const first = await describe(client, target, session);
  return first ? await stateOfRun(client, first) : { is: "lost", how: "is not known to the Temporal server any more" };
}

interface Run {
  first: string;
  status: string;
  target: string;
  runId: string;
  phase: string | undefined;
}

async function describe(client: Client, target: string, runId?: string): Promise<Run | null> {
  try {
    const description = await client.workflow.getHandle(sessionWorkflowId(target), runId).describe();
    const first = description.raw.workflowExecutionInfo?.firstRunId ?? description.runId;
    const phase = description.typedSearchAttributes.get(PHASE);
    return { first, status: description.status.name, target, runId: description.runId, phase };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

async function stateOfRun(client: Client, run: Run): Promise<SessionState> {
  if (run.status === "RUNNING") return { is: "running" };
  // Its target was home: only its site was left to be told, or nothing had been touched.
  const over = (["restored", "released"] as const).find((ending) => ending === run.phase);
  if (run.status !== "COMPLETED" && over) return { is: "ended", summary: { ending: over } };
  if (run.status !== "COMPLETED") return { is: "lost", how: `was ended from outside (${run.status.toLowerCase()})` };
  const handle = client.workflow.getHandle(sessionWorkflowId(run.target), run.runId);
  return { is: "ended", summary: (await handle.result()) as SessionSummary };
}

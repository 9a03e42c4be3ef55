import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from "@temporalio/client";
import { PHASE } from "../../workflows/attributes.js";
import type { Fate, SessionFates } from "../domain/fates.js";
import { sessionWorkflowId } from "../domain/ids.js";
import type { SessionSummary } from "../domain/session.js";
import { ensureSearchAttributes, knowsSearchAttributes } from "./attributes.js";
import type { TemporalConnections } from "./connect.js";
import { launchSession } from "./launch.js";

const HELD = "WorkflowType = 'maintenanceSession' AND ExecutionStatus = 'Running'";
const LOCK = sessionWorkflowId("");

/** The fates of sessions, by Temporal itself. */
export function sessionFates({ client, connection, namespace }: TemporalConnections): SessionFates {
  return {
    async held() {
      // A server that lost its database has lost these as well, and without them no session can take a step.
      if (!(await knowsSearchAttributes(client))) await ensureSearchAttributes(connection, namespace);
      const targets = new Set<string>();
      for await (const { workflowId } of client.workflow.list({ query: HELD, pageSize: 1000 })) {
        if (workflowId.startsWith(LOCK)) targets.add(workflowId.slice(LOCK.length));
      }
      return targets;
    },

    of: (target, session) => fateOf(client, target, session),

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

/** What became of a session, whichever run of it, or session after it, is the newest of its target. */
export async function fateOf(client: Client, target: string, session: string): Promise<Fate> {
  const newest = await describe(client, target);
  if (newest?.first === session) return await fateOfRun(client, newest);
  // Another session came after it, or there was a reset: the run whose id the session has says what became of it.
  const first = await describe(client, target, session);
  return first ? await fateOfRun(client, first) : { is: "lost", how: "is not known to the Temporal server any more" };
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

async function fateOfRun(client: Client, run: Run): Promise<Fate> {
  if (run.status === "RUNNING") return { is: "running" };
  // Only its site was still to be told of it, or nothing had been touched.
  const over = (["restored", "released"] as const).find((ending) => ending === run.phase);
  if (run.status !== "COMPLETED" && over) return { is: "ended", summary: { ending: over } };
  if (run.status !== "COMPLETED") return { is: "lost", how: `was ended from outside (${run.status.toLowerCase()})` };
  const handle = client.workflow.getHandle(sessionWorkflowId(run.target), run.runId);
  return { is: "ended", summary: (await handle.result()) as SessionSummary };
}

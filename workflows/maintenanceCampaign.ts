import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  ApplicationFailure,
  type ChildWorkflowHandle,
  condition,
  ParentClosePolicy,
  setCurrentDetails,
  setHandler,
  startChild,
  workflowInfo,
} from "@temporalio/workflow";
import { sessionWorkflowId } from "../src/domain/ids.js";
import type { CampaignRequest, CampaignSummary, SessionSummary } from "../src/domain/session.js";
import { central, patient } from "./context.js";
import { failureOf } from "./logbook.js";
import { maintenanceSession } from "./maintenanceSession.js";
import { announcedSignal, campaignStatusQuery } from "./messages.js";

/**
 * One action over targets: the front door for the Temporal UI. Ends when each target is restored, released or
 * announced stranded. Its sessions go on without it (ABANDON): a campaign that is terminated strands nobody.
 */
export async function maintenanceCampaign(request: CampaignRequest): Promise<CampaignSummary> {
  const summary: CampaignSummary = { waiting: [], running: [], skipped: [], ended: [] };
  const announced = new Map<string, SessionSummary>();
  setHandler(campaignStatusQuery, () => summary);
  setHandler(announcedSignal, (session) => void announced.set(session.target, session));

  if (typeof request !== "object" || request === null || typeof request.action !== "string") {
    throw ApplicationFailure.nonRetryable(
      'Give one JSON argument with targets (or select) and an action, for example {"targets": ["r1-n07"], "action": "inventory"}.',
      "invalid",
    );
  }
  const { targets } = await central.planCampaign({
    action: request.action,
    ...(request.targets ? { targets: request.targets } : {}),
    ...(request.select ? { select: request.select } : {}),
    ...(request.image ? { image: request.image } : {}),
  });
  summary.waiting = [...targets];

  const lane = async () => {
    for (let target = summary.waiting.shift(); target !== undefined; target = summary.waiting.shift()) {
      summary.running.push(target);
      tell(request, summary);
      const ended = await runOne(request, target, announced);
      summary.running.splice(summary.running.indexOf(target), 1);
      if (ended) summary.ended.push(ended);
      else summary.skipped.push(target);
      tell(request, summary);
    }
  };
  const lanes = Math.min(request.atOnce ?? 20, targets.length);
  await Promise.all(Array.from({ length: lanes }, lane));
  return summary;
}

/** One session as a child, until it ends or is announced stranded; null: the target was busy and is skipped. */
async function runOne(
  request: CampaignRequest,
  target: string,
  announced: Map<string, SessionSummary>,
): Promise<SessionSummary | null> {
  const info = workflowInfo();
  for (;;) {
    let child: ChildWorkflowHandle<typeof maintenanceSession>;
    try {
      child = await startChild(maintenanceSession, {
        workflowId: sessionWorkflowId(target),
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `${request.action} on ${target}`.slice(0, 200),
        args: [
          {
            target,
            action: request.action,
            ...(request.image ? { image: request.image } : {}),
            ...(request.params ? { params: request.params } : {}),
            requestedBy: request.requestedBy ?? `campaign ${info.workflowId}`,
            campaign: info.workflowId,
          },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      if (request.onBusy === "skip") return null;
      if (request.onBusy === "wait") {
        await patient.awaitFreeTarget({ target });
        continue;
      }
      return notStarted(
        target,
        "busy",
        `${target} is busy: a session holds it. Wait for it, abort it, or give onBusy: skip or wait.`,
      );
    }
    const result = child.result().catch((error: unknown) => {
      const failure = failureOf(error);
      return notStarted(target, failure.code, failure.message);
    });
    const stranded = condition(() => announced.has(target)).then(() => announced.get(target));
    return (await Promise.race([result, stranded])) ?? (await result);
  }
}

const notStarted = (target: string, code: string, message: string): SessionSummary => ({
  session: "",
  target,
  outcome: "failed",
  ending: "restored",
  untouched: true,
  failure: { code, message },
  stranded: null,
});

function tell(request: CampaignRequest, summary: CampaignSummary): void {
  const stranded = summary.ended.filter((s) => s.ending === "stranded").map((s) => s.target);
  const failed = summary.ended.filter((s) => s.outcome !== "succeeded").map((s) => s.target);
  setCurrentDetails(
    [
      `**${request.action}**: ${summary.running.length} running, ${summary.waiting.length} waiting, ${summary.ended.length} ended, ${summary.skipped.length} skipped`,
      stranded.length ? `**Stranded:** ${stranded.slice(0, 50).join(", ")}` : "",
      failed.length ? `Work not done: ${failed.slice(0, 50).join(", ")}` : "",
    ]
      .filter(Boolean)
      .join("\n\n"),
  );
}

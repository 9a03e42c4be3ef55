import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  ApplicationFailure,
  type ChildWorkflowHandle,
  condition,
  isCancellation,
  ParentClosePolicy,
  setCurrentDetails,
  setHandler,
  startChild,
  upsertSearchAttributes,
  workflowInfo,
} from "@temporalio/workflow";
import { sessionWorkflowId } from "../src/domain/ids.js";
import type { CampaignEnded, CampaignPlan, CampaignRequest, CampaignSummary, Failure } from "../src/domain/session.js";
import { ACTION } from "./attributes.js";
import { central, patient } from "./context.js";
import { failureOf } from "./logbook.js";
import { maintenanceSession } from "./maintenanceSession.js";
import { announcedSignal, campaignStatusQuery } from "./messages.js";

/**
 * One action over targets: the front door for the Temporal UI. Ends when each target is restored, released, stranded, or has
 * waited for 30 min for a site or BMC that is away. Its sessions go on without it (ABANDON): a campaign that is terminated strands nobody.
 */
export async function maintenanceCampaign(request: CampaignRequest): Promise<CampaignSummary> {
  const summary: CampaignSummary = { waiting: [], running: [], skipped: [], ended: [] };
  const announced = new Map<string, CampaignEnded>();
  setHandler(campaignStatusQuery, () => summary);
  // Whatever was typed as a signal: what is no summary of a session of ours is never looked up.
  setHandler(announcedSignal, (told) => {
    if (typeof told?.session === "string") announced.set(told.session, told);
  });

  const plan = await central.planCampaign({ request });
  upsertSearchAttributes([{ key: ACTION, value: plan.action }]);
  summary.waiting = [...plan.targets];

  const lane = async () => {
    for (let target = summary.waiting.shift(); target !== undefined; target = summary.waiting.shift()) {
      summary.running.push(target);
      tell(plan, summary);
      const ended = await runOne(plan, target, announced);
      summary.running.splice(summary.running.indexOf(target), 1);
      if (ended) summary.ended.push(ended);
      else summary.skipped.push(target);
      tell(plan, summary);
    }
  };
  await Promise.all(Array.from({ length: Math.min(plan.atOnce, plan.targets.length) }, lane));
  return summary;
}

/** One session as a child, until it ends or announces that it will not soon; null: the target was busy and is skipped. */
async function runOne(
  plan: CampaignPlan,
  target: string,
  announced: Map<string, CampaignEnded>,
): Promise<CampaignEnded | null> {
  const info = workflowInfo();
  for (;;) {
    let child: ChildWorkflowHandle<typeof maintenanceSession>;
    try {
      child = await startChild(maintenanceSession, {
        workflowId: sessionWorkflowId(target),
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `${plan.action} on ${target}`.slice(0, 200),
        args: [
          {
            target,
            action: plan.action,
            ...(plan.image ? { image: plan.image } : {}),
            params: plan.params,
            requestedBy: plan.requestedBy ?? `campaign ${info.workflowId}`,
            campaign: info.workflowId,
          },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      if (plan.onBusy === "skip") return null;
      if (plan.onBusy === "wait") {
        const failure = await untilFree(target);
        if (!failure) continue;
        return notStarted(target, failure.code, failure.message);
      }
      return notStarted(
        target,
        "busy",
        `${target} is busy: a session holds it. Wait for it, abort it, or give onBusy: skip or wait.`,
      );
    }
    const session = child.firstExecutionRunId;
    const result = child.result().catch((error: unknown) => {
      const failure = failureOf(error);
      // The one failure of its own is a refused plan; whatever else ended it did not ask where the target was.
      const refused = error instanceof Error && error.cause instanceof ApplicationFailure;
      return refused ? notStarted(target, failure.code, failure.message) : lost(target, session, failure.message);
    });
    const stranded = condition(() => announced.has(session)).then(() => announced.get(session));
    return (await Promise.race([result, stranded])) ?? (await result);
  }
}

/** Waits, for a day at most: a target that nobody lets go of must not keep the others from their work. */
async function untilFree(target: string): Promise<Failure | null> {
  try {
    await patient.awaitFreeTarget({ target });
    return null;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return failureOf(error);
  }
}

const notStarted = (target: string, code: string, message: string): CampaignEnded => ({
  session: "",
  target,
  outcome: "failed",
  ending: "restored",
  untouched: true,
  failure: { code, message },
  stranded: null,
});

/** A session that was ended from outside: its target may be anywhere. */
const lost = (target: string, session: string, how: string): CampaignEnded => ({
  session,
  target,
  outcome: "failed",
  ending: "stranded",
  untouched: false,
  failure: { code: "internal", message: how },
  stranded: {
    code: "internal",
    message: `The session was ended from outside (${how}); start maintenanceSession of ${target} with restoreOnly to bring it home.`,
  },
});

/** The campaign so far, for the Temporal UI's «current details». Markdown. */
function tell(plan: CampaignPlan, { waiting, running, skipped, ended }: CampaignSummary): void {
  const stranded = ended.filter((session) => session.ending === "stranded");
  const away = ended.filter((session) => session.ending === "waiting");
  const failed = ended.filter(
    (session) => !["stranded", "waiting"].includes(session.ending) && session.outcome !== "succeeded",
  );
  const paragraphs = [
    `**${plan.action}** on ${plan.targets.length} target${plan.targets.length === 1 ? "" : "s"}: ${running.length} running, ${waiting.length} waiting, ${ended.length} ended, ${skipped.length} skipped`,
    listed("Stranded: a person must act", stranded, (session) => session.stranded?.message),
    listed("On the way home, and waiting for what is away", away, ({ waitingFor }) => waitingFor?.what),
    listed("The work was not done", failed, (session) => session.failure?.message),
    // The UI cuts off the last line of what it renders.
    "\u00a0",
  ];
  setCurrentDetails(paragraphs.filter(Boolean).join("\n\n"));
}

function listed(title: string, sessions: CampaignEnded[], why: (session: CampaignEnded) => string | undefined): string {
  if (sessions.length === 0) return "";
  const lines = sessions.slice(0, TOLD_TARGETS).map((session) => `- ${session.target}: ${why(session) ?? "no reason"}`);
  const more = sessions.length - TOLD_TARGETS;
  return [`**${title}**`, "", ...lines, ...(more > 0 ? [`- and ${more} more`] : [])].join("\n");
}

/** Targets that the details tell of one by one; the result has all. */
const TOLD_TARGETS = 50;

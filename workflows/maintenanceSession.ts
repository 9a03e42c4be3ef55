import { ApplicationFailure, CancellationScope, condition, sleep, workflowInfo } from "@temporalio/workflow";
import { sessionWorkflowId } from "../src/domain/ids.js";
import type { Failure, SessionPlan, SessionRequest, SessionSummary } from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { ACTION, CAMPAIGN, SITE, TARGET } from "./attributes.js";
import {
  beforeDeparture,
  central,
  Interrupted,
  Interrupts,
  patient,
  Schedule,
  type SessionContext,
  siteCalls,
} from "./context.js";
import { boot, depart, retryWhileAway, shutDown } from "./departure.js";
import { failureOf, Logbook } from "./logbook.js";
import { listen } from "./messages.js";
import { Records } from "./records.js";
import { ObservedTarget } from "./target-state.js";
import { bringHome } from "./wayHome.js";
import { work, workLimitMs } from "./work.js";

const DAY_MS = 24 * 60 * 60_000;
/** Between the tries to tell a site that is away of a session's end. */
const TELL_AGAIN_MS = 10 * 60_000;

/**
 * One departure and one return of one target. Its workflow id `maintenance/<target>` is the target's lock.
 *
 * planning → waiting → capturing → staging → arming → rebooting → working → restoring → verifying
 *          → restored | stranded | released
 *
 * Up to the boot snapshot nothing is written to anything, and a failure ends the session `restored`, untouched. From
 * then on every way leads through `bringHome`.
 */
export async function maintenanceSession(request: SessionRequest): Promise<SessionSummary> {
  refuseUnusableStart(request);
  const info = workflowInfo();
  const session = info.firstExecutionRunId;
  const target = new ObservedTarget();
  const log = new Logbook(session, info.workflowId, request, (action) => target.observe({ type: "power", action }));
  const records = new Records(log);
  const interrupts = new Interrupts();
  const inbox = listen({
    session,
    epoch: () => target.attempt,
    status: () => log.status(),
    isDestructive: () => log.plan?.action?.destructive === true,
    homeAnswered: (attempt) => target.observe({ type: "homeAnswered", attempt }),
    interrupt: (cause) => interrupts.raise(cause),
  });

  log.enter("planning");
  const plan = await beforeDeparture
    .planSession({ request, session, workflowId: info.workflowId })
    .catch(async (error) => {
      await CancellationScope.nonCancellable(() => endUnplanned(log, error));
      // The one failure that leaves the workflow: there is no target yet that it could concern.
      throw error;
    });
  log.plan = plan;
  log.file([
    { key: TARGET, value: plan.target.name },
    { key: SITE, value: plan.target.site },
    ...(plan.action ? [{ key: ACTION, value: plan.action.name }] : []),
    ...(request.campaign ? [{ key: CAMPAIGN, value: request.campaign }] : []),
  ]);
  const schedule = new Schedule(Date.now() + plan.limits.totalMs);
  const site = siteCalls(plan, log, schedule);
  const ctx: SessionContext = { plan, log, records, inbox, site, interrupts, target, schedule };

  let snapshot: BootSnapshot;
  try {
    // A session that adopts a lost one brings the target home, without an approval.
    if (!plan.adopted) await interrupts.during(null, () => waitForApproval(ctx));
    snapshot = await interrupts.during(null, () => capture(ctx)).catch((error) => keptInstead(ctx, error));
    refuseCycleOfOff(plan, snapshot, session);
    const power = snapshot.state.power === "On" ? "On" : "Off";
    target.observe({ type: "captured", power, adopted: snapshot.session !== session });
  } catch (error) {
    return await CancellationScope.nonCancellable(() => endUntouched(ctx, error));
  }

  try {
    // What a lost session knew as home stays home: the target is brought there before anyone takes it away again.
    const adopted = snapshot.session !== session;
    // After a reset in the Temporal UI, an earlier run of the session may have changed the target.
    if (adopted || info.runId !== session) log.untouched = false;
    if (plan.refusal) throw ApplicationFailure.nonRetryable(plan.refusal.message, plan.refusal.code);
    if (plan.action && adopted) throw adoptedInstead(snapshot);
    if (plan.action) await awayAndBack(ctx);
  } catch (error) {
    if (error instanceof Interrupted && error.by.kind === "rebooted") target.observe({ type: "leftImage" });
    concludeWork(ctx, error);
  }
  return await CancellationScope.nonCancellable(async () => {
    await bringHome(ctx, snapshot);
    return await close(ctx);
  });
}

/** The work of the session, wherever it ends: everything that may fail without the target being lost. */
async function awayAndBack(ctx: SessionContext): Promise<void> {
  const { plan, log, interrupts } = ctx;
  if (!plan.image) {
    // Away and home without an image: what is proved is the way home itself.
    log.enter("rebooting");
    log.untouched = false;
    await interrupts.during(null, () => retryWhileAway(ctx, () => shutDown(ctx, `${plan.action?.name}: power cycle`)));
    log.outcome = "succeeded";
    return;
  }
  let ways = await interrupts.during(null, () => depart(ctx));
  const workEndsAt = Date.now() + workLimitMs(ctx);
  for (let resumes = 0; ; ) {
    try {
      const result = await interrupts.during(Math.max(1, workEndsAt - Date.now()), () => work(ctx));
      log.outcome = result.outcome;
      log.failure = result.failure;
      return;
    } catch (error) {
      const rebooted = error instanceof Interrupted && error.by.kind === "rebooted";
      if (!rebooted || plan.action?.onReboot !== "resume" || ++resumes > plan.limits.bootAttempts) throw error;
      log.notes.push(
        `The target rebooted by itself during the work (${(error.by as { how: string }).how}); the action resumes.`,
      );
      interrupts.clear();
      // What runs may be its own system: the site serves the way home after a reboot that nobody asked for.
      ctx.target.observe({ type: "leftImage" });
      ways = await interrupts.during(null, () => boot(ctx, ways));
    }
  }
}

async function waitForApproval({ plan, log, inbox, schedule }: SessionContext): Promise<void> {
  if (!plan.action?.approval) return;
  log.enter("waiting");
  await beforeDeparture.recordSession({ record: log.record() });
  const since = Date.now();
  await condition(() => inbox.approvedBy !== null);
  schedule.extendSince(since);
  log.notes.push(`Approved by ${inbox.approvedBy}.`);
}

/** The boot snapshot is in the site's journal and in the catalogue before the first write to anything. */
async function capture({ log, site }: SessionContext): Promise<BootSnapshot> {
  log.enter("capturing");
  await beforeDeparture.recordSession({ record: log.record() });
  const captured = log.count(
    await site("captureSnapshot", {}, { summary: "Identify the target, keep its boot snapshot", limitMs: 180_000 }),
  );
  log.notes.push(...captured.notes);
  // Before the catalogue has answered: a copy whose acknowledgement is lost must not outlive the session.
  log.captured = true;
  const snapshot = await beforeDeparture.keepSnapshot({ snapshot: captured.snapshot });
  log.snapshot = snapshot;
  return snapshot;
}

/** Refused before anything is asked of the target: a person may power it on meanwhile. */
function refuseCycleOfOff(plan: SessionPlan, snapshot: BootSnapshot, session: string): void {
  // A lost session's target is brought home first: a site may know of one of which the catalogue told nothing.
  if (!plan.action || plan.image || snapshot.session !== session || snapshot.state.power === "On") return;
  throw ApplicationFailure.nonRetryable(
    `${plan.target.name} is off, so that a power cycle would prove nothing; power it on and start again.`,
    "refused",
  );
}

/** Where the capture fails, or is cut short, a lost session's snapshot still says what home is. */
function keptInstead({ plan, log }: SessionContext, error: unknown): BootSnapshot {
  if (!plan.adopted) throw error;
  log.snapshot = plan.adopted;
  log.captured = true;
  return plan.adopted;
}

/** Puts the end of the work into words. It never changes where the session goes from here: home. */
function concludeWork({ log }: Pick<SessionContext, "log">, error: unknown): void {
  const cause = error instanceof Interrupted ? error.by : null;
  if (cause?.kind === "abort") {
    log.outcome = "aborted";
    log.failure = { code: "aborted", message: `Aborted by ${cause.by}${cause.reason ? `: ${cause.reason}` : ""}.` };
  } else if (cause?.kind === "deadline") {
    log.outcome = "timedOut";
    log.failure = { code: "timedOut", message: "The work ran into its deadline." };
  } else if (cause?.kind === "rebooted") {
    log.outcome = "failed";
    log.failure = { code: "rebooted", message: `The target rebooted by itself during the work (${cause.how}).` };
  } else {
    log.outcome = "failed";
    log.failure = failureOf(error);
  }
}

const adoptedInstead = (snapshot: BootSnapshot) =>
  ApplicationFailure.nonRetryable(
    `${snapshot.target} was still away in the session ${snapshot.session}, which was lost; it is brought home first. Start the action again.`,
    "conflict",
  );

/**
 * Ends a session without a plan: nothing was even looked at. A remote activity writes the record, so that the history has the end: a local
 * one would be run again, with a plan, by the server that takes over the workflow task.
 */
async function endUnplanned(log: Logbook, error: unknown): Promise<void> {
  concludeWork({ log }, error);
  log.ending = "restored";
  log.enter("restored");
  await patient.recordSession({ record: log.record() }).catch(() => undefined);
}

/** Nothing was written to the target: the session ends where it began. */
async function endUntouched(ctx: SessionContext, error: unknown): Promise<SessionSummary> {
  concludeWork(ctx, error);
  ctx.log.ending = "restored";
  ctx.log.enter("restored");
  return await close(ctx);
}

/** The site and the catalogue forget the open session; its record stays. */
async function close(ctx: SessionContext): Promise<SessionSummary> {
  const { plan, log, records } = ctx;
  const announced = await closeAtSite(ctx);
  const target = plan.target.name;
  if (log.captured) {
    // A catalogue that is away must not fail a session whose target is home.
    const closing = {
      target,
      session: log.snapshot?.session ?? log.session,
      by: { session: log.session, ending: log.ending },
    };
    await central
      .closeSnapshot(closing)
      .catch(() => patient.closeSnapshot(closing))
      .catch((error: Error) => log.notes.push(`The catalogue's boot snapshot stays open: ${failureOf(error).message}`));
  }
  // A campaign has the ending from this workflow's result.
  await (announced ?? records.keep());
  return log.summary();
}

/**
 * Closes the session at its site; a site that is away is tried again for a day, with the lock kept. Otherwise it would take the snapshot
 * that it keeps for a lost session's, and the state of this day for home. Returns the announcement that was made meanwhile: the record
 * says already that the target is home.
 */
async function closeAtSite(ctx: SessionContext): Promise<Promise<void> | null> {
  const { log, site, records } = ctx;
  const untouched = log.untouched;
  const giveUpAt = Date.now() + DAY_MS;
  let announced: Promise<void> | null = null;
  for (let pauseMs = 5_000; ; pauseMs = Math.min(2 * pauseMs, TELL_AGAIN_MS)) {
    const call = { summary: "Close the session at the site", limitMs: 60_000 };
    const closed = await site("closeSite", { untouched }, call).catch((error: Error): Failure => failureOf(error));
    if ("powerActions" in closed) {
      log.count(closed);
      return announced;
    }
    // Whatever the site says: an entry that it keeps would be taken for a lost session's.
    if (!log.captured || Date.now() >= giveUpAt) {
      log.notes.push(`The site could not be told that the session has ended: ${closed.message}`);
      return null;
    }
    announced ??= records.announce();
    await sleep(pauseMs, { summary: "Until the site is back" });
  }
}

/** A start that would break a promise is refused before anything else happens. */
function refuseUnusableStart(request: SessionRequest): void {
  const info = workflowInfo();
  const refuse = (why: string) => ApplicationFailure.nonRetryable(why, "invalid");
  if (typeof request !== "object" || request === null || typeof request.target !== "string") {
    throw refuse('Give one JSON argument with the target, for example {"target": "r1-n07", "action": "inventory"}.');
  }
  const id = sessionWorkflowId(request.target);
  if (info.workflowId !== id) {
    throw refuse(
      `A session of ${request.target} has the workflow id ${id}, which is the target's lock; start it so, or start maintenanceCampaign, which does.`,
    );
  }
  if (info.executionTimeoutMs || info.runTimeoutMs) {
    throw refuse("Start a session without an execution or run timeout: one would end it before the target is home.");
  }
  if (info.retryPolicy)
    throw refuse("Start a session without a retry policy: it tries again by itself where that is safe.");
}

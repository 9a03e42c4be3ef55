import { ApplicationFailure, condition, getExternalWorkflowHandle, sleep, workflowInfo } from "@temporalio/workflow";
import type { Failure } from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { central, patient, type SessionContext } from "./context.js";
import { askToShutDown, LATE_POWER_OFF_MS, look, settled, unseen, wasOffIfPoweredOn } from "./departure.js";
import { failureOf, type Logbook } from "./logbook.js";
import { announcedSignal } from "./messages.js";

const MINUTE = 60_000;
/** Whole attempts before a person is called; each activity has its own repetitions inside. */
const ATTEMPTS = 3;

/**
 * The return. Runs outside every cancellation and ends in one of two ways: the target is proved home, or a named
 * person released it. In between it may be stranded: announced, with its lock kept, waiting for a person.
 */
export async function bringHome(ctx: SessionContext, snapshot: BootSnapshot): Promise<void> {
  const { log, mail } = ctx;
  for (;;) {
    const failure = await tryHome(ctx, snapshot);
    if (!failure) {
      log.stranded = null;
      log.ending = "restored";
      log.enter("restored");
      return;
    }
    // Before the announcement: a person may ask as soon as the phase says that one must.
    mail.retryRequested = false;
    log.stranded = failure;
    log.ending = "stranded";
    log.enter("stranded");
    await announce(ctx);
    await condition(() => mail.retryRequested || mail.released !== null);
    if (mail.released) {
      log.released = mail.released;
      log.ending = "released";
      log.enter("released");
      return;
    }
    log.ending = null;
    log.stranded = null;
    ctx.leg.unwatched = true;
    ctx.plan.retries = (ctx.plan.retries ?? 0) + 1;
    // What was read of the power may have been a lie, and whoever came to look may have done more than Pitstop saw.
    ctx.leg.verifiedOff = false;
  }
}

async function tryHome(ctx: SessionContext, snapshot: BootSnapshot): Promise<Failure | null> {
  let waited = false;
  for (let attempt = 1; ; attempt++) {
    try {
      await returnOnce(ctx, snapshot);
      return null;
    } catch (error) {
      const failure = failureOf(error);
      // A refused password is never tried again (lock-outs), and waiting longer for a proof was done already.
      if (attempt >= ATTEMPTS || failure.code === "unauthorized") return failure;
      if (failure.code === "homeNotProved") {
        if (waited || !mayHang(ctx)) return failure;
        waited = true;
      }
      ctx.log.notes.push(`Restore attempt ${attempt}: ${failure.message}`);
      await sleep(5_000 * attempt * attempt, { summary: `Before restore attempt ${attempt + 1}` });
    }
  }
}

/**
 * A boot of which nothing was ever heard, or is heard any more, was left alone, because it might have been the target's own system
 * on its way up. It had the time for that now: what still says nothing hangs, and the next attempt may turn it off.
 */
function mayHang({ leg }: SessionContext): boolean {
  if (leg.unseenSince === null) return false;
  leg.mayBeHome = false;
  return true;
}

/**
 * One attempt: off, disarmed while off, on, proved.
 *
 * What runs in the image is forced off when it does not go by itself: its memory is ours. The target's own system is
 * never forced: where it runs already, or may be on its way up, it is disarmed under it.
 */
async function returnOnce(ctx: SessionContext, snapshot: BootSnapshot): Promise<void> {
  const { plan, log, site, leg } = ctx;
  const toBeOn = snapshot.state.power === "On";
  log.enter("restoring");
  // One that was off is not asked to go before it is known whether anybody is there to obey.
  const where =
    leg.running ?? (leg.unseenSince !== null && !toBeOn ? await settled(ctx, snapshot) : await look(ctx, snapshot));
  leg.running = null;
  let atHome = where === "home" || (where === "unknown" && leg.mayBeHome);
  if (!atHome && where !== "off") {
    const off = await site(
      "ensureOff",
      { plan, running: "image", unseenMs: unseen(leg), why: "leave the image" },
      { summary: "Leave the image", limitMs: plan.limits.homeMs + 5 * MINUTE },
    );
    log.spentByMachine(log.count(off).tookMs);
    atHome = !off.off;
    if (off.mute) leg.unseenSince = Date.now();
  }
  if (atHome && !toBeOn) {
    // A target that was off was started by a stranger, or by an override that did not hold: kindly off again.
    await askToShutDown(ctx, "the target was off");
    atHome = false;
  }
  leg.mayBeHome = atHome;
  if (!atHome) {
    leg.unseenSince = null;
    // Whoever turned it off: a power that was read as off since departure lies between.
    leg.verifiedOff = true;
    if (!toBeOn) leg.lateOffMs = 0;
  }
  const restored = await site(
    "restoreBoot",
    { plan, snapshot, armUnsure: mayHideAnArming(ctx, snapshot) },
    { summary: "Put the boot state back to the snapshot", limitMs: 5 * MINUTE },
  );
  log.notes.push(...log.count(restored).notes);
  if (toBeOn && !atHome) {
    leg.mayBeHome = true;
    const onBefore = log.lastPowerOnAt();
    log.count(
      await site(
        "ensureOn",
        { plan, epoch: null, wasOff: false, why: "go home" },
        { summary: "Power on, homewards", limitMs: 5 * MINUTE },
      ),
    );
    wasOffIfPoweredOn(ctx, onBefore);
  }
  await prove(ctx, snapshot, toBeOn && !atHome ? log.lastPowerOnAt() : null);
}

/** An arming was asked for, by this session or a lost one, and not seen to be done. */
const mayHideAnArming = ({ leg, log }: SessionContext, snapshot: BootSnapshot): boolean =>
  leg.armUnsure || snapshot.session !== log.session;

/** `bootedFrom`: when the power-on of this attempt was sent; its boot is the machine's own time. */
async function prove(ctx: SessionContext, snapshot: BootSnapshot, bootedFrom: number | null): Promise<void> {
  const { plan, log, site, leg } = ctx;
  log.enter("verifying");
  const watchLateOffMs = lateOffMs(ctx);
  // What a lost session did to the target, a run of this one before it was reset, or a shutdown that was given up, nobody
  // knows: either boot is home.
  const unsure = watchLateOffMs > 0 || leg.unwatched || snapshot.session !== log.session || log.movedPower();
  const rebooted = leg.verifiedOff ? true : unsure ? null : false;
  const proof = log.count(
    await site(
      "verifyHome",
      { plan, snapshot, rebooted, watchLateOffMs },
      { summary: "Is the target home, as it was?", limitMs: 3 * plan.limits.homeMs + watchLateOffMs + 3 * MINUTE },
    ),
  );
  log.verdict = proof.verdict;
  log.spentByMachine(bootedFrom === null ? proof.waitedMs : Date.parse(proof.provedAt) - bootedFrom);
  if (!proof.verdict.proved) {
    throw ApplicationFailure.nonRetryable(
      proof.verdict.reason ?? "The target's own system gave no proof.",
      "homeNotProved",
    );
  }
  if (proof.verdict.differences.length > 0) {
    const fields = proof.verdict.differences.map((d) => d.field).join(", ");
    throw ApplicationFailure.nonRetryable(
      `The target runs its own system, but its boot state differs: ${fields}.`,
      "differs",
    );
  }
}

/** A shutdown may be under way still, asked for and not seen done, and its system may answer until its very end. */
function lateOffMs({ plan, leg, log }: SessionContext): number {
  if (leg.lateOffMs > 0 || leg.verifiedOff || !log.shutdownAsked()) return leg.lateOffMs;
  return plan.limits.gracefulMs + LATE_POWER_OFF_MS;
}

/** The record says what the session knows now; a catalogue that is away is waited for, up to a day. */
export async function keepRecord(log: Logbook): Promise<void> {
  const record = log.record();
  await central
    .recordSession({ record })
    .catch(() => patient.recordSession({ record }))
    .catch(() => undefined);
}

/** Tells the record's readers and the campaign, which does not wait for the session any longer. */
export async function announce({ log }: Pick<SessionContext, "log">): Promise<void> {
  await keepRecord(log);
  const parent = workflowInfo().parent;
  if (!parent) return;
  await getExternalWorkflowHandle(parent.workflowId, parent.runId)
    .signal(announcedSignal, log.summary())
    .catch(() => undefined);
}

import { ApplicationFailure, CancellationScope, condition, sleep } from "@temporalio/workflow";
import type { Whereabouts } from "../activities/contract.js";
import type { Failure } from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { awaitControl, isAway } from "./absence.js";
import type { SessionContext } from "./context.js";
import { askToShutDown, leaveImage, look, settled } from "./departure.js";
import { failureOf } from "./logbook.js";
import { leaveBy } from "./target-state.js";

const MINUTE = 60_000;
/** Whole attempts at a control that answers before a person is called; each activity has its own repetitions inside. */
const ATTEMPTS = 3;
/** Between attempts after an absence, growing: a control that comes and goes must not fill the history. */
const FIRST_PAUSE_MS = 5_000;
const LAST_PAUSE_MS = 10 * MINUTE;
/** A BMC that restarts refuses a good password for some seconds. Two refusals lock no account; three lock some. */
const REFUSED_LOGIN_PAUSE_MS = MINUTE;

/**
 * The return. Runs outside every cancellation and ends in one of two ways: the target is proved home, or a named person
 * released it. What is only away is waited for without end; `stranded` calls a person where one is needed.
 */
export async function bringHome(ctx: SessionContext, snapshot: BootSnapshot): Promise<void> {
  const { log, inbox, records } = ctx;
  for (;;) {
    const failure = await tryHome(ctx, snapshot);
    if (!failure && !inbox.released) {
      log.stranded = null;
      log.ending = "restored";
      log.enter("restored");
      return;
    }
    if (failure && !inbox.released) {
      // Before the announcement: a person may ask as soon as the phase says that one must.
      inbox.retryRequested = false;
      log.stranded = failure;
      log.ending = "stranded";
      log.enter("stranded");
      // Not awaited: a catalogue that is away must not delay a person's retry.
      void records.announce();
      await condition(() => inbox.retryRequested || inbox.released !== null);
    }
    if (inbox.released) {
      log.released = inbox.released;
      log.ending = "released";
      log.enter("released");
      return;
    }
    log.ending = null;
    log.stranded = null;
    personActed(ctx);
  }
}

/** A reading of the power may have been wrong, and a person may have done more than Pitstop saw. */
function personActed({ target, schedule }: SessionContext): void {
  target.observe({ type: "personActed" });
  schedule.allowRetry();
}

/** Attempts until the target is home or released (null), or until only a person can help (why). */
async function tryHome(ctx: SessionContext, snapshot: BootSnapshot): Promise<Failure | null> {
  const { log, inbox } = ctx;
  let waitedForProof = false;
  let refusedLogins = 0;
  let pauseMs = FIRST_PAUSE_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      await returnOnce(ctx, snapshot);
      return null;
    } catch (error) {
      let failure = failureOf(error);
      log.note(`Restore attempt ${attempt}: ${failure.message}`);
      if (isAway(error)) {
        const ended = await outlast(ctx, error).catch((final: unknown) => {
          failure = failureOf(final);
          return "neverAway" as const;
        });
        if (inbox.released) return null;
        if (ended === "asked") attempt = 0;
        if (ended === "back") {
          attempt = 0;
          await pause(ctx, pauseMs);
          pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS);
        }
        if (ended !== "neverAway") continue;
      }
      if (failure.code === "unauthorized") {
        if (++refusedLogins > 1) return failure;
        await pause(ctx, REFUSED_LOGIN_PAUSE_MS);
        if (inbox.released) return null;
        continue;
      }
      if (attempt >= ATTEMPTS) return failure;
      if (failure.code === "homeNotProved") {
        // A boot of which nothing was heard had the time of its own system by now: the next attempt takes it for an image.
        if (waitedForProof || ctx.target.unseenMs === null) return failure;
        ctx.target.observe({ type: "proofMissed" });
        waitedForProof = true;
      }
      await sleep(5_000 * attempt * attempt, { summary: `Before restore attempt ${attempt + 1}` });
    }
  }
}

/** As {@link awaitControl}; `asked`: a person asked for a retry, or released the target, before that. Throws what no wait mends. */
async function outlast(ctx: SessionContext, error: unknown): Promise<"back" | "neverAway" | "asked"> {
  const scope = new CancellationScope();
  const back = scope.run(() => awaitControl(ctx, error)).then((wasAway) => (wasAway ? "back" : "neverAway"));
  const asked = scope.run(() => askedFor(ctx)).then(() => "asked" as const);
  // The one that loses is cancelled, and says so to nobody.
  asked.catch(() => undefined);
  back.catch(() => undefined);
  try {
    const first = await Promise.race([back, asked]);
    if (first === "asked") personActed(ctx);
    return first;
  } finally {
    scope.cancel();
    await back.catch(() => undefined);
  }
}

/** A pause that a person's retry or release ends. */
async function pause(ctx: SessionContext, ms: number): Promise<void> {
  const scope = new CancellationScope();
  const asked = scope.run(() => askedFor(ctx)).then(() => true);
  asked.catch(() => undefined);
  const over = scope.run(() => sleep(ms, { summary: "Before the next restore attempt" })).then(() => false);
  over.catch(() => undefined);
  if (await Promise.race([asked, over])) personActed(ctx);
  scope.cancel();
}

/** Resolves when a person asks for a retry from now on, or has released the target. */
async function askedFor({ inbox }: SessionContext): Promise<void> {
  inbox.retryRequested = false;
  await condition(() => inbox.retryRequested || inbox.released !== null);
}

/**
 * One attempt: the undo of each step of the departure, whichever was begun. Each reads, acts only where it must, and reads back.
 *
 * | step of the departure | its undo here | the state it ensures |
 * |---|---|---|
 * | stage | none: a cache | |
 * | on, armed | leave the image | off, or the target's own system runs |
 * | arm | `restoreBoot`, while off where it can be | override, media and order of the snapshot; the boot server serves home |
 * | off | `ensureOn`, where the target was on | on, into its own system |
 *
 * The target's own system is never forced: where it runs, or may be on its way up, it is disarmed under it.
 */
async function returnOnce(ctx: SessionContext, snapshot: BootSnapshot): Promise<void> {
  ctx.log.enter("restoring");
  const off = await leave(ctx, snapshot);
  await disarm(ctx, snapshot);
  const sentHomeAt = off && snapshot.state.power === "On" ? await powerOn(ctx) : null;
  await prove(ctx, snapshot, sentHomeAt);
}

/** Undo of `on`: whether the target is off now. False: its own system runs, or may be on its way up. */
async function leave(ctx: SessionContext, snapshot: BootSnapshot): Promise<boolean> {
  const { target } = ctx;
  const toBeOn = snapshot.state.power === "On";
  const where = await whereabouts(ctx, snapshot, toBeOn);
  let how = leaveBy(target.state, where, toBeOn);
  if (how.by === "force" && !(await leaveImage(ctx, how.why))) how = leaveBy(target.state, "unknown", toBeOn);
  if (how.by === "ask") await askToShutDown(ctx, how.why);
  if (how.by === "leaveAlone") {
    if (where === "home") target.observe({ type: "seenHome" });
    return false;
  }
  // Seen off, by any of these: the next boot of its own system is a new one.
  if (target.certain !== "off") target.observe({ type: "wentOff" });
  return true;
}

/** A target that was off is not asked to go before it is known whether anybody is there to obey. */
async function whereabouts(ctx: SessionContext, snapshot: BootSnapshot, toBeOn: boolean): Promise<Whereabouts> {
  const { target } = ctx;
  const certain = target.certain;
  target.observe({ type: "triesHome" });
  if (certain !== null) return certain;
  return target.unseenMs !== null && !toBeOn ? await settled(ctx, snapshot) : await look(ctx, snapshot);
}

/** Undo of `arm`. */
async function disarm({ log, site, target }: SessionContext, snapshot: BootSnapshot): Promise<void> {
  // An arming that was not seen done, of this session or a lost one: a reading may be older than it.
  const armUnsure = target.hidesArming || snapshot.session !== log.session;
  const restored = await site(
    "restoreBoot",
    { snapshot, armUnsure },
    { summary: "Put the boot state back to the snapshot", limitMs: 5 * MINUTE },
  );
  for (const note of log.count(restored).notes) log.note(note);
}

/** Undo of `off`: when the power-on was sent, in milliseconds since 1970; null where none was needed. */
async function powerOn({ log, site, target }: SessionContext): Promise<number | null> {
  target.observe({ type: "sentHome" });
  log.count(
    await site(
      "ensureOn",
      { epoch: null, way: null, wasOff: false, why: "go home" },
      { summary: "Power on, homewards", limitMs: 5 * MINUTE },
    ),
  );
  return log.lastPowerOnAt();
}

/** `bootedFrom`: when the power-on of this attempt was sent; its boot is the machine's own time. */
async function prove(ctx: SessionContext, snapshot: BootSnapshot, bootedFrom: number | null): Promise<void> {
  const { plan, log, site, target } = ctx;
  log.enter("verifying");
  const watchLateOffMs = target.mayObeyForMs(snapshot.state.power === "On", plan.limits.gracefulMs);
  // What a lost session did to the target, a run of this one before it was reset, or a shutdown that was given up, nobody
  // knows: either boot is home.
  const isUnsure = watchLateOffMs > 0 || target.wasOutOfSight || snapshot.session !== log.session || target.movedPower;
  const rebooted = target.sawOff ? true : isUnsure ? null : false;
  const proof = log.count(
    await site(
      "verifyHome",
      { snapshot, rebooted, watchLateOffMs },
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

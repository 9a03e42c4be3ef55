import { ApplicationFailure, condition, sleep } from "@temporalio/workflow";
import type { Whereabouts } from "../activities/contract.js";
import type { HelloSignal, PlannedWay } from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { awaitControl, isAway } from "./absence.js";
import { type SessionContext, stopIfCutShort } from "./context.js";
import { effectsOfFailed, failureOf } from "./logbook.js";
import { isOwnSystem, LATE_POWER_OFF_MS, mayChangeUntil } from "./target-state.js";

const MINUTE = 60_000;
/** A step that fails so often at a control that answers fails for good. */
const STEP_ATTEMPTS = 3;

/**
 * Away: the image is staged and armed for a boot way, the target's own system goes down, and the image makes contact. A way without
 * contact gives way to the next one of the plan. The way home has the undo of each step (wayHome.ts).
 *
 * | step | state it ensures | its undo |
 * |---|---|---|
 * | stage | what the way serves of the image is in the site's cache | none: a cache |
 * | arm | the way's override and medium are set, the site serves what it publishes | `restoreBoot` |
 * | off | the target's own system has shut down | `ensureOn` |
 * | on, armed | the target boots the image | leave the image |
 *
 * Returns the way that made contact, and those after it.
 */
export const depart = (ctx: SessionContext): Promise<PlannedWay[]> => boot(ctx, ctx.plan.ways);

/**
 * Boots the image by these ways, in turn, until it makes contact. Each way has the action's whole budget of boot attempts. Returns the
 * way that made contact, and those after it. The failure is `noContact`, or the refusal where no way came as far as a boot.
 */
export async function boot(ctx: SessionContext, ways: PlannedWay[]): Promise<PlannedWay[]> {
  const { log } = ctx;
  const before = log.diagnoses.length;
  for (const [index, way] of ways.entries()) {
    const next = ways[index + 1];
    const booted = log.diagnoses.length;
    try {
      if (await bootBy(ctx, way)) return ways.slice(index);
      if (next) log.note(`${way.via} made no contact; trying ${next.via}.`);
    } catch (error) {
      if (!(error instanceof WayRefused)) throw error;
      const wasTried = log.diagnoses.length > booted;
      if (wasTried || (!next && booted === before)) throw error.cause;
      log.note(`${way.via} is refused${next ? `; trying ${next.via}` : ""}: ${failureOf(error.cause).message}`);
    }
  }
  throw noContact(ctx, log.diagnoses.length - before);
}

/** The site or the control answers, and refuses this way. Another way may work. */
class WayRefused extends Error {
  constructor(override readonly cause: unknown) {
    super("the boot way was refused");
  }

  /** Runs a step that asks for the way. */
  static async by<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      throw failureOf(error).code === "refused" ? new WayRefused(error) : error;
    }
  }
}

function noContact({ plan, log }: SessionContext, boots: number): ApplicationFailure {
  const last = log.diagnoses.at(-1);
  const by = plan.ways.length > 1 ? `, the last by ${last?.via}` : "";
  return ApplicationFailure.nonRetryable(
    `The image made no contact in ${boots} boot${boots === 1 ? "" : "s"}${by}: ${last?.summary}`,
    "noContact",
  );
}

/** Whether the image made contact by this way, in one of the action's boot attempts. */
async function bootBy(ctx: SessionContext, way: PlannedWay): Promise<boolean> {
  const { plan, log, site } = ctx;
  await WayRefused.by(() => stage(ctx, way));
  for (let tried = 1; tried <= plan.limits.bootAttempts; tried++) {
    // An arming that was refused keeps its number: it may have come as far as the site.
    if (await bootOnce(ctx, way, ctx.target.attempt + 1, plan.limits.bootMs * tried)) return true;
    const call = { summary: "Why was there no contact?", limitMs: 2 * MINUTE };
    log.diagnoses.push(log.count(await site("diagnoseBoot", { way }, call)).diagnosis);
  }
  return false;
}

async function stage({ plan, log, site, schedule }: SessionContext, way: PlannedWay): Promise<void> {
  log.enter("staging");
  const since = Date.now();
  const summary = `Stage ${plan.image?.name} at ${plan.target.site}, for ${way.via}`;
  await site("stageImage", { way }, { summary, limitMs: 60 * MINUTE });
  schedule.extendSince(since);
}

/** Arms, takes the target down and boots it; the hello, or null when there was none within `waitMs`. */
async function bootOnce(
  ctx: SessionContext,
  way: PlannedWay,
  attempt: number,
  waitMs: number,
): Promise<HelloSignal | null> {
  const { plan, log, site, target, inbox } = ctx;
  const wasOff = log.snapshot?.state.power === "Off";
  const nth = attempt === 1 ? "" : ` (attempt ${attempt})`;
  stopIfCutShort();
  log.enter("arming");
  inbox.hello = null;
  inbox.done = null;
  await WayRefused.by(() => retryWhileAway(ctx, () => arm(ctx, way, attempt, wasOff)));
  stopIfCutShort();
  log.enter("rebooting");
  const why = `boot ${plan.image?.name}${nth}`;
  await retryWhileAway(ctx, () => shutDown(ctx, why));
  const answersBefore = target.homeAnswers(attempt);
  // Before the act: the target may be on even where this call fails.
  target.observe({ type: "poweringOn", attempt, at: Date.now() });
  const on = { summary: `Power on, armed${nth}`, limitMs: 5 * MINUTE };
  await retryWhileAway(ctx, async () => log.count(await site("ensureOn", { epoch: attempt, way, wasOff, why }, on)));
  target.observe({ type: "armed", attempt });
  const hello = await firstContact(ctx, attempt, waitMs, answersBefore);
  if (!hello) return null;
  target.observe({ type: "hello", attempt });
  const { bootId, at, firmware, uptimeSeconds } = hello;
  log.contacts.push({ epoch: attempt, bootId, at, firmware, uptimeSeconds });
  const onAt = log.lastPowerOnAt();
  if (onAt !== null) log.spentByMachine(Date.parse(hello.at) - onAt);
  return hello;
}

/** Arms before the target goes down: a refusal then costs no downtime. */
async function arm(
  { log, site, target }: SessionContext,
  way: PlannedWay,
  attempt: number,
  wasOff: boolean,
): Promise<void> {
  const { untouched } = log;
  // Noted before the act: from here on the way home disarms, even where this call fails.
  log.untouched = false;
  target.observe({ type: "arming", attempt });
  const nth = attempt === 1 ? "" : ` (attempt ${attempt})`;
  const call = { summary: `Set the next boot to ${way.via}${nth}`, limitMs: 5 * MINUTE };
  const armed = await site("armTarget", { epoch: attempt, way, wasOff }, call).catch((error: unknown) => {
    if (effectsOfFailed(error)?.wrote === false) {
      log.untouched = untouched;
      target.observe({ type: "armRefused", attempt });
    }
    throw error;
  });
  for (const note of log.count(armed).notes) log.note(note);
  target.observe({ type: "armed", attempt });
}

/**
 * Runs a step, and again after a site or BMC was away: up to the session's end, whose time is not lengthened by the wait. Throws the
 * failure of a control that answers.
 */
export async function retryWhileAway<T>(ctx: SessionContext, step: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step();
    } catch (error) {
      if (!isAway(error) || ctx.schedule.leftMs === 0) throw error;
      const wasAway = await awaitControl(ctx, error, ctx.schedule.leftMs).catch((ended: unknown) => {
        throw isAway(ended) ? error : ended;
      });
      stopIfCutShort();
      if (wasAway) attempt = 0;
      else if (attempt >= STEP_ATTEMPTS) throw error;
    }
  }
}

/** The hello of this boot attempt; null when it did not come in time, or the target is seen in its own system instead. */
async function firstContact(
  ctx: SessionContext,
  attempt: number,
  waitMs: number,
  answersBefore: number,
): Promise<HelloSignal | null> {
  const { log, target, inbox } = ctx;
  const deadline = Date.now() + waitMs;
  const hello = () => (inbox.hello?.epoch === attempt ? inbox.hello : null);
  for (let answers = answersBefore; ; ) {
    const left = Math.max(1, deadline - Date.now());
    const heard = await condition(() => hello() !== null || target.homeAnswers(attempt) > answers, left, {
      summary: "The image must have made contact",
    });
    if (!heard) return null;
    if (hello()) return hello();
    // The word may be from before the power-on: only a look tells.
    answers = target.homeAnswers(attempt);
    if (!log.snapshot) return null;
    if ((await look(ctx, log.snapshot)) === "home") {
      target.observe({ type: "seenHome" });
      return null;
    }
  }
}

/** Ensures that the target is off, asking its own system kindly where that is, or may be, what runs. */
export async function shutDown(ctx: SessionContext, why: string): Promise<void> {
  const { log, target } = ctx;
  const snapshot = log.snapshot;
  if (!snapshot) throw ApplicationFailure.nonRetryable("A shutdown without a boot snapshot was attempted.", "internal");
  const isFirst = target.attempt <= 1 && !target.sawOff;
  const where = isFirst ? "home" : await settled(ctx, snapshot);
  if (where === "home" && !isFirst) target.observe({ type: "seenHome" });
  if (!isOwnSystem(target.state, where) && (await leaveImage(ctx, why))) return;
  await askToShutDown(ctx, why);
}

/** Ensures that an image is left: whether the target is off. False: what runs may be its own system, and is left alone. */
export async function leaveImage({ plan, log, site, target }: SessionContext, why: string): Promise<boolean> {
  const off = log.count(
    await site(
      "ensureOff",
      { running: "image", unseenMs: target.unseenMs, why },
      { summary: "Leave the image", limitMs: plan.limits.homeMs + 5 * MINUTE },
    ),
  );
  log.spentByMachine(off.tookMs);
  target.observe(off.off ? { type: "wentOff" } : { type: "leftAlone", mute: off.mute ?? false, at: Date.now() });
  return off.off;
}

/** Ensures that the target's own system is off: kindly, by its owner's deadline and policy. */
export async function askToShutDown(ctx: SessionContext, why: string): Promise<void> {
  const { plan, log, site, target } = ctx;
  target.observe({ type: "askedToLeave", mayObeyForMs: plan.limits.gracefulMs + LATE_POWER_OFF_MS });
  const call = { summary: "Shut the target's system down", limitMs: plan.limits.gracefulMs + 5 * MINUTE };
  const off = log.count(
    await site("ensureOff", { running: "home", unseenMs: null, why }, call).catch((error: unknown) => {
      const { mayObeyMs = plan.limits.gracefulMs } = effectsOfFailed(error) ?? {};
      target.observe({ type: "askedToLeave", mayObeyForMs: mayObeyMs + LATE_POWER_OFF_MS });
      throw error;
    }),
  );
  log.spentByMachine(off.tookMs);
  target.observe({ type: "wentOff" });
}

/**
 * Where the target is. What may be its own system on the way up is given the time that its owner allows for that, and what was
 * told to go on a moment ago, and is off, the time to obey.
 */
export async function settled(ctx: SessionContext, snapshot: BootSnapshot): Promise<Whereabouts> {
  const { plan, target } = ctx;
  const since = Date.now();
  for (let pauseMs = 5_000; ; pauseMs = Math.min(2 * pauseMs, MINUTE)) {
    const where = await look(ctx, snapshot);
    if (Date.now() >= mayChangeUntil(target.state, where, plan.limits.homeMs, since)) return where;
    await sleep(pauseMs, { summary: "It may be on its way up" });
  }
}

export async function look({ log, site }: SessionContext, snapshot: BootSnapshot): Promise<Whereabouts> {
  const call = { summary: "Where is the target?", limitMs: 2 * MINUTE };
  return log.count(await site("locateTarget", { snapshot }, call)).where;
}

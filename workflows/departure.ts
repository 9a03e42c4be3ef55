import { ApplicationFailure, condition, sleep } from "@temporalio/workflow";
import type { Whereabouts } from "../activities/contract.js";
import type { HelloSignal } from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { notCounted, type SessionContext, stopIfCutShort } from "./context.js";
import { effectsOfFailed } from "./logbook.js";

const MINUTE = 60_000;
/** How long after it was told to go on a machine that was off is still watched for: a BMC may obey late. */
const LATE_POWER_ON_MS = 30_000;
/** How long after its deadline a shutdown is still watched for: a system may obey late. */
export const LATE_POWER_OFF_MS = 30_000;

/**
 * Away: the image is staged and armed, the target's own system goes down, and the image makes contact.
 *
 * | step | state it ensures | undone by the way home's |
 * |---|---|---|
 * | stage | the image's files are in the site's cache | nothing: a cache |
 * | arm | the override is set, the site serves the session's script | `restoreBoot` |
 * | off | the target's own system has shut down | `ensureOn` |
 * | on | the target runs, armed | `ensureOff` |
 */
export async function depart(ctx: SessionContext): Promise<void> {
  const { plan, log, site, leg } = ctx;
  log.enter("staging");
  const since = Date.now();
  await site(
    "stageImage",
    { plan },
    { summary: `Stage ${plan.image?.name} at ${plan.target.site}`, limitMs: 60 * MINUTE },
  );
  notCounted(plan, since);
  for (let attempt = 1; ; attempt++) {
    const hello = await bootImage(ctx, attempt);
    if (hello) return;
    const { diagnosis } = log.count(
      await site("diagnoseBoot", { plan }, { summary: "Why was there no contact?", limitMs: 2 * MINUTE }),
    );
    log.diagnoses.push(diagnosis);
    leg.running = null;
    if (attempt >= plan.limits.bootAttempts) {
      throw ApplicationFailure.nonRetryable(
        `The image made no contact in ${attempt} boot${attempt === 1 ? "" : "s"}: ${diagnosis.summary}`,
        "noContact",
      );
    }
  }
}

/** Arms, takes the target down and boots it; the hello, or null when there was none in time. */
export async function bootImage(ctx: SessionContext, attempt: number): Promise<HelloSignal | null> {
  const { plan, log, site, leg, mail } = ctx;
  const wasOff = log.snapshot?.state.power === "Off";
  const nth = attempt === 1 ? "" : ` (attempt ${attempt})`;
  stopIfCutShort();
  log.enter("arming");
  // Pushed before the act: from here on the way home disarms, whatever becomes of this call.
  log.untouched = false;
  leg.epoch += 1;
  mail.hello = null;
  mail.done = null;
  const epoch = leg.epoch;
  leg.armUnsure = true;
  // Arm first: a refusal then costs no downtime.
  log.count(
    await site("armTarget", { plan, epoch, wasOff }, { summary: `Set the next boot${nth}`, limitMs: 5 * MINUTE }),
  );
  leg.armUnsure = false;
  stopIfCutShort();
  log.enter("rebooting");
  await shutDown(ctx, `boot ${plan.image?.name}${nth}`);
  leg.running = null;
  mail.wentHome = null;
  // Before the act: it may be on whatever becomes of this call.
  leg.unseenSince = Date.now();
  leg.armUnsure = true;
  const onBefore = log.lastPowerOnAt();
  log.count(
    await site(
      "ensureOn",
      { plan, epoch, wasOff, why: `boot ${plan.image?.name}${nth}` },
      { summary: `Power on, armed${nth}`, limitMs: 5 * MINUTE },
    ),
  );
  leg.armUnsure = false;
  wasOffIfPoweredOn(ctx, onBefore);
  const hello = await firstContact(ctx, epoch, plan.limits.bootMs * attempt);
  if (!hello) return null;
  leg.unseenSince = null;
  leg.running = "image";
  const { bootId, at, firmware, uptimeSeconds } = hello;
  log.contacts.push({ epoch, bootId, at, firmware, uptimeSeconds });
  const onAt = log.lastPowerOnAt();
  if (onAt !== null) log.spentByMachine(Date.parse(hello.at) - onAt);
  return hello;
}

/** The hello of this arming; null when it did not come in time, or the target is seen in its own system instead. */
async function firstContact(ctx: SessionContext, epoch: number, waitMs: number): Promise<HelloSignal | null> {
  const { plan, log, site, leg, mail } = ctx;
  const deadline = Date.now() + waitMs;
  for (;;) {
    const left = Math.max(1, deadline - Date.now());
    const heard = await condition(() => mail.hello?.epoch === epoch || mail.wentHome === epoch, left, {
      summary: "The image must have made contact",
    });
    if (!heard) return null;
    if (mail.hello?.epoch === epoch) return mail.hello;
    // The word may be from before the power-on: only a look tells.
    mail.wentHome = null;
    const snapshot = log.snapshot;
    if (!snapshot) return null;
    const { where } = log.count(
      await site("locateTarget", { plan, snapshot }, { summary: "Is it in its own system?", limitMs: 2 * MINUTE }),
    );
    if (where === "home") {
      leg.mayBeHome = true;
      return null;
    }
  }
}

/** Ensures that the target is off, asking its own system kindly where that is, or may be, what runs. */
export async function shutDown(ctx: SessionContext, why: string): Promise<void> {
  const { plan, log, site, leg } = ctx;
  const snapshot = log.snapshot;
  if (!snapshot) throw ApplicationFailure.nonRetryable("A shutdown without a boot snapshot was attempted.", "internal");
  const first = leg.epoch <= 1 && !leg.verifiedOff;
  const where = first ? (snapshot.state.power === "Off" ? "off" : "home") : await settled(ctx, snapshot);
  if (where === "home") leg.mayBeHome = true;
  if (where === "image" || !leg.mayBeHome) {
    const off = log.count(
      await site(
        "ensureOff",
        { plan, running: "image", unseenMs: unseen(leg), why },
        { summary: "Power off", limitMs: plan.limits.homeMs + 5 * MINUTE },
      ),
    );
    log.spentByMachine(off.tookMs);
    leg.mayBeHome = !off.off;
    if (off.mute) leg.unseenSince = Date.now();
  }
  if (leg.mayBeHome) await askToShutDown(ctx, why);
  leg.unseenSince = null;
  leg.verifiedOff = leg.verifiedOff || snapshot.state.power === "On";
  leg.running = "off";
}

/**
 * Where the target is. What may be its own system on the way up is given the time that its owner allows for that, and what was
 * told to go on a moment ago, and is off, the time to obey.
 */
export async function settled(ctx: SessionContext, snapshot: BootSnapshot): Promise<Whereabouts> {
  const { plan, leg } = ctx;
  const upAt = (leg.mayBeHome ? Date.now() : (leg.unseenSince ?? 0)) + plan.limits.homeMs;
  const onAt = (leg.unseenSince ?? 0) + LATE_POWER_ON_MS;
  for (let pauseMs = 5_000; ; pauseMs = Math.min(2 * pauseMs, MINUTE)) {
    const where = await look(ctx, snapshot);
    const mayChange = (where === "unknown" && Date.now() < upAt) || (where === "off" && Date.now() < onAt);
    if (!mayChange) return where;
    await sleep(pauseMs, { summary: "It may be on its way up" });
  }
}

export async function look({ plan, log, site }: SessionContext, snapshot: BootSnapshot): Promise<Whereabouts> {
  const call = { summary: "Where is the target?", limitMs: 2 * MINUTE };
  return log.count(await site("locateTarget", { plan, snapshot }, call)).where;
}

/**
 * Only a power-on that was needed shows that the target had been off. One that was found on was perhaps never off, whatever its BMC
 * said for a moment: then the shutdown that was asked for may still be under way.
 */
export function wasOffIfPoweredOn({ log, leg }: SessionContext, onBefore: number | null): void {
  if (log.lastPowerOnAt() !== onBefore) leg.lateOffMs = 0;
}

/** For how long nothing was heard of what runs where the image should; null where something was. */
export const unseen = (leg: SessionContext["leg"]): number | null =>
  leg.unseenSince === null ? null : Date.now() - leg.unseenSince;

/** Ensures that the target's own system is off: kindly, by its owner's deadline and policy. */
export async function askToShutDown({ plan, log, site, leg }: SessionContext, why: string): Promise<void> {
  leg.lateOffMs = plan.limits.gracefulMs + LATE_POWER_OFF_MS;
  const off = log.count(
    await site(
      "ensureOff",
      { plan, running: "home", unseenMs: null, why },
      { summary: "Shut the target's system down", limitMs: plan.limits.gracefulMs + 5 * MINUTE },
    ).catch((error: unknown) => {
      const { mayObeyMs = plan.limits.gracefulMs } = effectsOfFailed(error) ?? {};
      leg.lateOffMs = mayObeyMs + LATE_POWER_OFF_MS;
      throw error;
    }),
  );
  // To be off: nothing comes after it that could show that this was a wrong reading.
  if (log.snapshot?.state.power === "Off") leg.lateOffMs = 0;
  log.spentByMachine(off.tookMs);
  leg.mayBeHome = false;
}

import { agentTask } from "../src/agent/agent-task.js";
import type { Site, SiteEntry } from "../src/boot/site.js";
import type { BootChoice, TargetControl } from "../src/control/control.js";
import type { OffHow } from "../src/control/ensure.js";
import { ensureOff, ensureOn } from "../src/control/ensure.js";
import { PitstopError } from "../src/domain/errors.js";
import { InventoryReport } from "../src/domain/inventory.js";
import type { PlannedTask, PowerAction, SessionPlan, TaskResult } from "../src/domain/session.js";
import type { BootSnapshot, BootState, HomeAnswer } from "../src/domain/snapshot.js";
import type { HomeCheck } from "../src/domain/target.js";
import type { ObjectStore } from "../src/stores/store.js";
import { askedToStop, cancellation } from "./activity.js";
import type { Effects, SiteActivities } from "./contract.js";
import type { Controls } from "./controls.js";
import { leaveImage } from "./leaving.js";
import { verifyHome } from "./proof.js";
import { diagnose, locate } from "./whereabouts.js";

export interface SiteDeps {
  site: Site;
  objects: ObjectStore;
  controls: Controls;
  askHome(check: HomeCheck): Promise<HomeAnswer>;
}

const NOTHING_DONE: Effects = { powerActions: [], bmcRequests: { total: 0, powerPolls: 0 } };

/** The activities of a site's queue. */
export function siteActivities(deps: SiteDeps): SiteActivities {
  const { site, objects, controls } = deps;
  const own = (plan: SessionPlan) => owned(site, plan);
  const note = (plan: SessionPlan) => (action: PowerAction) => site.note(plan.target.name, plan.session, action);
  // With all that the journal knows of the power: what a lost attempt did is told by the next one that is heard.
  const use: Controls["use"] = async (plan, work) => {
    const done = await controls.use(plan, work);
    return { ...done, powerActions: notedIn(site, plan) ?? done.powerActions };
  };

  return {
    async captureSnapshot({ plan }) {
      const entry = await adopt(site, plan);
      const notes: string[] = [];
      // What home is was seen long ago: a BMC that cannot be asked now must not make anyone forget that the target is away.
      if (entry.snapshot && entry.snapshot.session !== plan.session) {
        // Told at once: what the lost session did to the power, the journal may have forgotten by the next call.
        return { snapshot: entry.snapshot, notes, ...NOTHING_DONE, powerActions: notedIn(site, plan) ?? [] };
      }
      return await use(plan, async (control) => {
        const identity = await control.identify();
        if (entry.snapshot) return { snapshot: entry.snapshot, notes };
        const state = await control.readState();
        refusePending(plan, state);
        const answers = await Promise.all(plan.target.home.map(deps.askHome));
        const home = state.power === "On" ? answers : [];
        await refuseDoubtfulPower(control, plan, state, answers);
        if (state.power === "On" && !answers.some((answer) => answer.answered)) {
          notes.push("No home check answered before departure, so the return cannot be compared with it.");
        }
        if (plan.target.control.some((c) => "redfish" in c && c.redfish.tls.insecure)) {
          notes.push("The BMC's certificate was not verified: the target says tls.insecure.");
        }
        const taken: BootSnapshot = {
          target: plan.target.name,
          session: plan.session,
          takenAt: new Date().toISOString(),
          identity,
          state,
          home,
        };
        return { snapshot: await site.keepSnapshot(plan.target.name, plan.session, taken), notes };
      });
    },

    async stageImage({ plan }) {
      await own(plan);
      return await site.stage(plan, () => undefined, cancellation());
    },

    armTarget: ({ plan, epoch, wasOff }) =>
      use(plan, async (control) => {
        await own(plan);
        await arm(site, control, plan, epoch, wasOff);
        return {};
      }),

    ensureOff: ({ plan, running, unseenMs, why }) =>
      use(plan, async (control, collected) => {
        await own(plan);
        const left =
          running === "image" ? await leaveImage(deps, control, plan, unseenMs) : { by: "asking" as const, tookMs: 0 };
        if (left.by === "leaving") return { off: false, mute: left.mute, tookMs: 0 };
        const { graceful, then } = plan.target.shutdown;
        const how: OffHow =
          left.by === "force"
            ? { mode: "force" }
            : { mode: "graceful", gracefulMs: plan.limits.gracefulMs, gracefulText: graceful, then };
        const done = await ensureOff(control, how, { why, signal: cancellation(), note: note(plan) });
        collected.powerActions.push(...done.actions);
        seenOff(site, plan);
        return { off: true, tookMs: left.tookMs + done.tookMs };
      }),

    locateTarget: ({ plan, snapshot }) =>
      use(plan, async (control) => ({ where: await locate(deps, control, plan, snapshot) })),

    ensureOn: ({ plan, epoch, wasOff, why }) =>
      use(plan, async (control, collected) => {
        await own(plan);
        // Armed again while it is off: an override may have been spent, or lost, by the way down.
        if (epoch !== null && (await control.power()) === "Off") {
          seenOff(site, plan);
          await arm(site, control, plan, epoch, wasOff);
        }
        const done = await ensureOn(control, { why, signal: cancellation(), note: note(plan) });
        collected.powerActions.push(...done.actions);
        return {};
      }),

    diagnoseBoot: ({ plan }) => use(plan, async (control) => ({ diagnosis: await diagnose(deps, control, plan) })),

    async offerTask({ plan, task }) {
      refuseUnplannedDestruction(plan, task);
      await own(plan);
      const script = Buffer.from(await objects.get(task.scriptSha256)).toString("utf8");
      const result = await site.offer(plan.target.name, plan.session, agentTask(plan, task, script), askedToStop());
      return await checkReport(objects, plan, result);
    },

    restoreBoot: ({ plan, snapshot, armUnsure }) =>
      use(plan, async (control) => {
        await own(plan);
        // The boot server first: from here on even a BMC that cannot be disarmed leads home.
        await site.withdraw(plan.target.name, plan.session);
        // A drive that does not eject must not leave the target armed.
        const stuck = await refusalOf(control.restoreMedia(snapshot.state.media));
        await control.restoreOverride(snapshot.state.override, armUnsure);
        // An order that cannot be put right must not keep the target off: the comparison at home tells the difference.
        const order = await refusalOf(control.restoreBootOrder(snapshot.state.bootOrder));
        if (stuck) throw stuck;
        return { notes: order ? [order.message] : [] };
      }),

    verifyHome: (input) =>
      use(input.plan, (control, collected) => verifyHome(deps, control, collected, note(input.plan), input)),

    async closeSite({ plan, untouched }) {
      const adopted = site.entry(plan.target.name)?.snapshot ?? null;
      const stays = untouched && adopted !== null && adopted.session !== plan.session;
      const noted = notedIn(site, plan) ?? [];
      if (!stays) await site.close(plan.target.name, plan.session);
      return { ...(await controls.end(plan)), powerActions: noted };
    },
  };
}

/**
 * The journal's entry for this session. What a lost session left behind, here or in the catalogue, is adopted: what was
 * home then is home now, whatever the target's boot state says today (promise 2).
 */
async function adopt(site: Site, plan: SessionPlan): Promise<SiteEntry> {
  const entry = await site.open(plan, plan.session);
  if (entry.snapshot || !plan.adopted) return entry;
  return { ...entry, snapshot: await site.keepSnapshot(plan.target.name, plan.session, plan.adopted) };
}

/** The session's epoch at the site: an attempt of a session that has ended here must not touch the target. */
async function owned(site: Site, plan: SessionPlan): Promise<SiteEntry> {
  const entry = site.entry(plan.target.name);
  if (entry?.session === plan.session && entry.snapshot) return entry;
  if (entry && entry.session !== plan.session && !plan.adopted) {
    throw new PitstopError("busy", `${plan.target.name} is held by the session ${entry.session} at this site.`);
  }
  // A site that lost its journal learns of the session again from the plan that each activity carries. Where the capture has failed
  // that would have taken over a lost session's snapshot, its entry may still be here, and nobody else may keep that snapshot.
  return await adopt(site, plan);
}

/** Nothing runs any more, the target's own system included. */
function seenOff(site: Site, plan: SessionPlan): void {
  const entry = site.entry(plan.target.name);
  if (entry?.session === plan.session) entry.ledger.ownSystemSeenAt = null;
}

/** What was done to the power in this session, by the site's journal; null where it does not know the session. */
function notedIn(site: Site, plan: SessionPlan): PowerAction[] | null {
  const entry = site.entry(plan.target.name);
  return entry?.session === plan.session ? entry.ledger.powerActions : null;
}

/** The machine's own refusal of one part; whatever else goes wrong is thrown. */
async function refusalOf(work: Promise<unknown>): Promise<PitstopError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof PitstopError && error.code === "refused") return error;
    throw error;
  }
}

/**
 * What the target is brought back to is decided here, so that its power is not taken from one reading alone: one that its own system
 * contradicts, or a second reading, is tried again (a machine on its way up or down, a reading that was wrong).
 */
async function refuseDoubtfulPower(
  control: TargetControl,
  plan: SessionPlan,
  { power }: BootState,
  answers: HomeAnswer[],
): Promise<void> {
  const speaks = answers.find((answer) => answer.answered);
  if (power === "On" && speaks) return;
  const name = plan.target.name;
  if (power === "Off" && speaks) {
    throw new PitstopError(
      "unreachable",
      `The BMC of ${name} says that it is off, and ${speaks.check} answers: its power was read wrong, or that check reaches another machine. Correct the check, or start again.`,
    );
  }
  if ((await control.power()) === power) return;
  throw new PitstopError(
    "unreachable",
    `The BMC of ${name} said that it is ${power === "On" ? "on, and then that it is off" : "off, and then that it is on"}: its power is changing, or was read wrong.`,
  );
}

/** The grade of the boot path and the owner's leave were asked for the action: what is supplied later is bound by that. */
function refuseUnplannedDestruction(plan: SessionPlan, task: PlannedTask): void {
  if (!task.destructive || plan.action?.destructive) return;
  throw new PitstopError(
    "refused",
    `The task ${task.name} is destructive and the action ${plan.action?.name ?? "none"} is not; start an action that is.`,
  );
}

/** What somebody else left pending is theirs: it is refused, in one sentence, before anything is changed. */
function refusePending(plan: SessionPlan, state: BootState): void {
  const name = plan.target.name;
  if (state.override.enabled === "Once") {
    throw new PitstopError(
      "refused",
      `${name} has a one-time boot override pending (${state.override.target}) that is not ours; clear it, or let it be used, and start again.`,
    );
  }
  const medium = state.media.find((slot) => slot.inserted);
  if (medium) {
    throw new PitstopError(
      "refused",
      `${name} has a medium inserted in ${medium.slot} that is not ours; eject it and start again.`,
    );
  }
  if (plan.image && state.secureBoot) {
    throw new PitstopError(
      "refused",
      `${name} has Secure Boot on, and its boot chain must then be signed, which Pitstop does not yet serve; turn Secure Boot off for maintenance or use an action without an image.`,
    );
  }
}

/** The boot server serves the session's script, the medium is in, and the override is set and read back. */
async function arm(
  site: Site,
  control: TargetControl,
  plan: SessionPlan,
  epoch: number,
  wasOff: boolean,
): Promise<void> {
  const urls = await site.publish(plan.target.name, plan.session, epoch, wasOff);
  if (urls.mediaUrl !== null) await control.insertMedia(urls.mediaUrl);
  await control.arm(choiceOf(plan, urls.httpBootUri));
}

function choiceOf(plan: SessionPlan, uri: string): BootChoice {
  if (plan.via === "uefi-http") return { via: "uefi-http", uri };
  if (plan.via === "virtual-media") return { via: "virtual-media" };
  if (plan.via === "pxe") return { via: "pxe" };
  throw new PitstopError("internal", "A session without a boot path was armed.");
}

/** The finding of the task that makes the action's report must be that report. */
async function checkReport(objects: ObjectStore, plan: SessionPlan, result: TaskResult): Promise<TaskResult> {
  if (plan.action?.report !== "inventory" || result.name !== "inventory" || result.status !== "succeeded")
    return result;
  const failed = (reason: string): TaskResult => ({ ...result, status: "failed", reason });
  if (!result.findingSha256) return failed("it printed no report");
  const finding: unknown = JSON.parse(Buffer.from(await objects.get(result.findingSha256)).toString("utf8"));
  const parsed = InventoryReport.safeParse(finding);
  if (parsed.success) return result;
  const issue = parsed.error.issues[0];
  return failed(`its report is not an inventory: ${issue?.path.join(".")}: ${issue?.message}`);
}

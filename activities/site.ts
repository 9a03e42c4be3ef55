import { agentTask } from "../src/agent/agent-task.js";
import {
  captureBootState,
  pendingIn,
  powerOf,
  readPower,
  refuseUnreadable,
  restoreBootState,
} from "../src/control/boot-state.js";
import type { Capabilities } from "../src/control/control.js";
import { ensureOff, ensureOn, type OffHow } from "../src/control/ensure.js";
import { armedOn } from "../src/control/transitions.js";
import { PitstopError } from "../src/domain/errors.js";
import { InventoryReport } from "../src/domain/inventory.js";
import { ABSENT, known } from "../src/domain/reading.js";
import type { Grade, PlannedTask, PlannedWay, PowerAction, SitePlan, TaskResult } from "../src/domain/session.js";
import type { BootSnapshot, BootState, HomeAnswer, PowerState } from "../src/domain/snapshot.js";
import type { HomeCheck } from "../src/domain/target.js";
import type { SiteEntry } from "../src/site/entry.js";
import type { Site } from "../src/site/site.js";
import type { ObjectStore } from "../src/stores/store.js";
import { allowsLan } from "../src/ways/way.js";
import { wayOf } from "../src/ways/ways.js";
import { askedToStop, attempt, cancellation } from "./activity.js";
import type { Effects, SiteActivities } from "./contract.js";
import type { Collected, Controls } from "./controls.js";
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
  const own = (plan: SitePlan) => owned(site, plan);
  const note = (plan: SitePlan) => (action: PowerAction) => site.note(plan.target.name, plan.session, action);
  // With all that the journal knows of the power: what a lost attempt did is told by the next one that is heard.
  const use = async <T extends object>(
    plan: SitePlan,
    work: (can: Capabilities, collected: Collected) => Promise<T>,
    first?: () => Promise<unknown>,
  ): Promise<T & Effects> => {
    const kept = () => site.entry(plan.target.name)?.snapshot?.identity ?? plan.adopted?.identity ?? null;
    const done = await controls.use(plan, work, { kept, ...(first ? { first } : {}) });
    return { ...done, powerActions: notedIn(site, plan) ?? done.powerActions };
  };

  return {
    async captureSnapshot({ plan }) {
      const entry = await adopt(site, plan);
      const notes: string[] = [];
      // What home is was seen long ago: a BMC that cannot be asked now must not make anyone forget that the target is away.
      if (entry.snapshot && entry.snapshot.session !== plan.session) {
        // The journal may have forgotten by the next call what the lost session did to the power.
        return { snapshot: entry.snapshot, notes, ...NOTHING_DONE, powerActions: notedIn(site, plan) ?? [] };
      }
      return await use(plan, async (can) => {
        if (entry.snapshot) return { snapshot: entry.snapshot, notes };
        const state = await captureBootState(can);
        refuseUnreadable(plan.target.name, state);
        const power = refusePowerless(plan, state);
        refusePending(plan, can, state);
        const answers = await Promise.all(plan.target.home.map(deps.askHome));
        const home = power === "On" ? answers : [];
        await refuseDoubtfulPower(can, plan, power, answers);
        if (power === "On" && !answers.some((answer) => answer.answered)) {
          notes.push("No home check answered before departure, so the return cannot be compared with it.");
        }
        if (plan.target.control.some((c) => "redfish" in c && c.redfish.tls.insecure)) {
          notes.push("The BMC's certificate was not verified: the target says tls.insecure.");
        }
        const taken: BootSnapshot = {
          target: plan.target.name,
          session: plan.session,
          takenAt: new Date().toISOString(),
          identity: can.identity,
          state,
          home,
        };
        return { snapshot: await site.keepSnapshot(plan.target.name, plan.session, taken), notes };
      });
    },

    async stageImage({ plan, way }) {
      await own(plan);
      return await site.stage(plan, way, () => undefined, cancellation());
    },

    armTarget: ({ plan, ...arming }) =>
      use(
        plan,
        async (can, collected) => ({ ...(await arm(site, can, plan, arming)), wrote: collected.wrote() }),
        () => own(plan),
      ),

    ensureOff: ({ plan, running, unseenMs, why }) =>
      use(
        plan,
        async (can, collected) => {
          const power = powerOf(can);
          const left =
            running === "image" ? await leaveImage(deps, power, plan, unseenMs) : { by: "asking" as const, tookMs: 0 };
          if (left.by === "leaving") return { off: false, mute: left.mute, tookMs: 0 };
          const { graceful, then } = plan.target.shutdown;
          const how: OffHow =
            left.by === "force"
              ? { mode: "force" }
              : { mode: "graceful", gracefulMs: plan.limits.gracefulMs, gracefulText: graceful, then };
          const done = await ensureOff(power, how, { why, signal: cancellation(), note: note(plan) });
          collected.powerActions.push(...done.actions);
          seenOff(site, plan);
          return { off: true, tookMs: left.tookMs + done.tookMs };
        },
        () => own(plan),
      ),

    locateTarget: ({ plan, snapshot }) =>
      use(plan, async (can) => ({ where: await locate(deps, powerOf(can), plan, snapshot) })),

    ensureOn: ({ plan, epoch, way, wasOff, why }) =>
      use(
        plan,
        async (can, collected) => {
          const options = { why, signal: cancellation(), note: note(plan) };
          const armAgain = async (arming: Arming) => {
            seenOff(site, plan);
            await takeEarlierMediumOut(site, can, plan, arming.way);
            await arm(site, can, plan, arming);
          };
          const done = await (epoch === null
            ? ensureOn(powerOf(can), options)
            : armedOn(can, () => armAgain({ epoch, way, wasOff }), options));
          collected.powerActions.push(...done.actions);
          return {};
        },
        () => own(plan),
      ),

    awaitControl: ({ plan }) =>
      use(plan, async (can) => {
        // The identity is proved before; a control that tells no power has answered by that.
        if (can.power !== null) await readPower(can.power);
        return { attempts: attempt() };
      }),

    diagnoseBoot: ({ plan, way }) =>
      use(plan, async (can) => ({ diagnosis: await diagnose(deps, powerOf(can), plan, way) })),

    async offerTask({ plan, task }) {
      refuseUnplannedDestruction(plan, task);
      await own(plan);
      const script = Buffer.from(await objects.get(task.scriptSha256)).toString("utf8");
      const result = await site.offer(plan.target.name, plan.session, agentTask(plan, task, script), askedToStop());
      return await checkReport(objects, plan, result);
    },

    restoreBoot: ({ plan, snapshot, armUnsure }) =>
      use(
        plan,
        async (can) => ({ notes: await restoreBootState(can, snapshot.state, armUnsure === true) }),
        async () => {
          await own(plan);
          // The boot server first: from here on even a BMC that cannot be disarmed leads home.
          await site.withdraw(plan.target.name, plan.session);
        },
      ),

    verifyHome: (input) =>
      use(input.plan, (can, collected) => verifyHome(deps, can, collected, note(input.plan), input)),

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
async function adopt(site: Site, plan: SitePlan): Promise<SiteEntry> {
  const entry = await site.open(plan, plan.session);
  if (entry.snapshot || !plan.adopted) return entry;
  return { ...entry, snapshot: await site.keepSnapshot(plan.target.name, plan.session, plan.adopted) };
}

/** The session's epoch at the site: an attempt of a session that has ended here must not touch the target. */
async function owned(site: Site, plan: SitePlan): Promise<SiteEntry> {
  const entry = site.entry(plan.target.name);
  if (entry?.session === plan.session && entry.snapshot) return await site.renew(plan);
  if (entry && entry.session !== plan.session && !plan.adopted) {
    throw new PitstopError("busy", `${plan.target.name} is held by the session ${entry.session} at this site.`);
  }
  // A site that lost its journal learns of the session again from the plan that each activity carries. Where the capture has failed
  // that would have taken over a lost session's snapshot, its entry may still be here, and nobody else may keep that snapshot.
  return await adopt(site, plan);
}

/** Nothing runs any more, the target's own system included. */
function seenOff(site: Site, plan: SitePlan): void {
  const entry = site.entry(plan.target.name);
  if (entry?.session === plan.session) entry.ledger.ownSystemSeenAt = null;
}

/** What was done to the power in this session, by the site's journal; null where it does not know the session. */
function notedIn(site: Site, plan: SitePlan): PowerAction[] | null {
  const entry = site.entry(plan.target.name);
  return entry?.session === plan.session ? entry.ledger.powerActions : null;
}

/**
 * What the target is brought back to is decided here, so that its power is not taken from one reading alone: one that its own system
 * contradicts, or a second reading, is tried again (a machine on its way up or down, a reading that was wrong).
 */
async function refuseDoubtfulPower(
  can: Capabilities,
  plan: SitePlan,
  power: PowerState,
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
  if ((await readPower(powerOf(can))) === power) return;
  throw new PitstopError(
    "unreachable",
    `The BMC of ${name} said that it is ${power === "On" ? "on, and then that it is off" : "off, and then that it is on"}: its power is changing, or was read wrong.`,
  );
}

/** The plan asked for the grade of the ways and the owner's leave by its action: a task that is supplied later is bound by that. */
function refuseUnplannedDestruction(plan: SitePlan, task: PlannedTask): void {
  if (!task.destructive || plan.action?.destructive) return;
  throw new PitstopError(
    "refused",
    `The task ${task.name} is destructive and the action ${plan.action?.name ?? "none"} is not; start an action that is.`,
  );
}

/** A session turns its target off and on: it cannot yet leave the restart to the system that runs. */
function refusePowerless(plan: SitePlan, state: BootState): PowerState {
  const power = known(state.power);
  if (power !== null) return power;
  throw new PitstopError(
    "refused",
    `The control of ${plan.target.name} does not tell its power, and a session turns it off and on; name a redfish control that does.`,
  );
}

/** `refusePending` refuses a target on which somebody else left an override or a medium, before anything is changed. */
function refusePending(plan: SitePlan, can: Capabilities, state: BootState): void {
  const name = plan.target.name;
  const override = pendingIn(can, state, "override");
  if (override !== null) {
    throw new PitstopError(
      "refused",
      `${name} has a one-time boot override pending (${override}) that is not ours; clear it, or let it be used, and start again.`,
    );
  }
  const slot = pendingIn(can, state, "media");
  if (slot !== null) {
    throw new PitstopError(
      "refused",
      `${name} has a medium inserted in ${slot} that is not ours; eject it and start again.`,
    );
  }
  if (plan.image && known(state.secureBoot) === true) {
    throw new PitstopError(
      "refused",
      `${name} has Secure Boot on, and its boot chain must then be signed, which Pitstop does not yet serve; turn Secure Boot off for maintenance or use an action without an image.`,
    );
  }
}

/** One arming: its number, and the way by which the target boots. */
interface Arming {
  epoch: number;
  way: PlannedWay;
  wasOff: boolean;
}

/** The boot server serves what the way publishes, and the next boot is by this way, read back. */
async function arm(
  site: Site,
  can: Capabilities,
  plan: SitePlan,
  { epoch, way: planned, wasOff }: Arming,
): Promise<{ grade: Grade; notes: string[] }> {
  const { target } = plan;
  const way = wayOf(planned.via);
  const urls = await site.publish(target.name, plan.session, epoch, planned, wasOff);
  // Without the owner's leave a destructive action needs a way that is proved, not claimed.
  const verify = plan.action?.destructive === true && !allowsLan(target);
  const { notes, bmcVerifies } = await way.arm(can, { target, urls, verify });
  const graded = way.grade(target, { bmcUrl: urls.mediaUrl, bmcVerifies });
  if (graded.grade === "sealed" || planned.grade === "lan") return { grade: graded.grade, notes };
  return { grade: graded.grade, notes: [`${target.name} ${graded.why}, so its boot way counts as lan.`, ...notes] };
}

/**
 * A medium that an earlier way left in its drive leaves before another way boots: a BMC that copied it may boot it again. Only while
 * the target is off.
 */
async function takeEarlierMediumOut(site: Site, can: Capabilities, plan: SitePlan, now: PlannedWay): Promise<void> {
  const publishesMedium = ({ via }: PlannedWay) => wayOf(via).publishes === "medium";
  const earlier = plan.ways.slice(
    0,
    plan.ways.findIndex(({ via }) => via === now.via),
  );
  if (publishesMedium(now) || !earlier.some(publishesMedium) || can.media === null) return;
  const before = known(site.entry(plan.target.name)?.snapshot?.state.media ?? ABSENT);
  if (before !== null) await can.media.restore(before);
}

/** The finding of the task that makes the action's report must be that report. */
async function checkReport(objects: ObjectStore, plan: SitePlan, result: TaskResult): Promise<TaskResult> {
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

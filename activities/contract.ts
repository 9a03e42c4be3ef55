/** The activities' types, for the workflows. Names say the state that each ensures; each survives being run twice. */

import type { Ending } from "../src/domain/ids.js";
import type { SessionRecord } from "../src/domain/record.js";
import type {
  BootDiagnosis,
  CampaignPlan,
  CampaignRequest,
  Grade,
  HomeVerdict,
  PlannedTask,
  PlannedWay,
  PowerAction,
  SessionPlan,
  SessionRequest,
  SitePlan,
  TaskResult,
} from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";

/** On the queue `pitstop`; short, mostly local activities. */
export interface CentralActivities {
  /** Validates, fills defaults, freezes target, action and image for the whole session. */
  planSession(input: { request: SessionRequest; session: string; workflowId: string }): Promise<SessionPlan>;
  /** Validates a campaign's request, fills its defaults, and says which targets it means. */
  planCampaign(input: { request: CampaignRequest }): Promise<CampaignPlan>;
  /** Waits until no session holds the target; retried by its policy. */
  awaitFreeTarget(input: { target: string }): Promise<void>;
  /** The catalogue's copy of the boot snapshot: get-or-create. */
  keepSnapshot(input: { snapshot: BootSnapshot }): Promise<BootSnapshot>;
  /** Ensures that the record in the catalogue says this, with findings resolved from the store; tells the watchers. */
  recordSession(input: { record: Omit<SessionRecord, "findings"> }): Promise<void>;
  /**
   * The target is home, or was released: the catalogue's snapshot is closed, if it is the one that `session` took. Where
   * that is another session, which was lost, its record says how it ended.
   */
  closeSnapshot(input: {
    target: string;
    session: string;
    by: { session: string; ending: Ending | null };
  }): Promise<void>;
}

/** Each result carries what was done to the power and how many requests that took, for the record. */
export interface Effects {
  powerActions: PowerAction[];
  bmcRequests: { total: number; powerPolls: number };
}

/**
 * What a failure carries of that. `mayObeyMs`: how much of its time a system still has that was asked to shut down, in milliseconds.
 * `wrote`: whether the target was changed, or may have been; a lost answer counts, a refusal does not.
 */
export interface FailedEffects {
  powerActions: PowerAction[];
  mayObeyMs?: number;
  wrote?: boolean;
}

/** `home`: the target's own system answers. `image`: its agent spoke to the site in this arming. */
export type Whereabouts = "off" | "home" | "image" | "unknown";

/** On the queue `pitstop-site-<site>`; whatever touches hardware. */
export interface SiteActivities {
  /** Identity compared, boot state and home's answers read, fsynced in the site's journal. Writes nothing to the target. */
  captureSnapshot(input: { plan: SitePlan }): Promise<Effects & { snapshot: BootSnapshot; notes: string[] }>;
  /** What the way serves of the image is in the site's cache, with matching digests. `refused` where the site cannot serve it. */
  stageImage(input: { plan: SitePlan; way: PlannedWay }): Promise<{ fetchedBytes: number }>;
  /**
   * The boot server serves what the way publishes, and the next boot is by this way, read back. `wrote`: whether anything was written to
   * the target; a failure tells the same as {@link FailedEffects}. `grade`: what the way proved to be, `lan` where its BMC verifies nothing.
   */
  armTarget(input: {
    plan: SitePlan;
    epoch: number;
    way: PlannedWay;
    wasOff: boolean;
  }): Promise<Effects & { wrote: boolean; grade: Grade; notes: string[] }>;
  /**
   * The target is off. `home`: its own system runs (graceful, with deadline and policy). `image`: the image runs; where
   * it may have given way to the target's own system, that one is left alone, and `off` is false; `mute`: because nothing at all
   * is heard of it.
   */
  ensureOff(input: {
    plan: SitePlan;
    running: "home" | "image";
    /**
     * So long nothing was heard of it: since it was powered on, armed, by a boot that made no contact so far, or since its image was
     * found mute. Null where neither is so. Counted by the session alone: the site's clock may be another, and may have been set.
     */
    unseenMs: number | null;
    why: string;
  }): Promise<Effects & { off: boolean; mute?: boolean; tookMs: number }>;
  /** Where the target is now: off, in its own system, in the image, or somewhere that cannot be told. */
  locateTarget(input: { plan: SitePlan; snapshot: BootSnapshot }): Promise<Effects & { where: Whereabouts }>;
  /** The target is on. With `epoch` and `way`: armed, read back while it was off, before the power-on. Both are null on the way home. */
  ensureOn(
    input: { plan: SitePlan; wasOff: boolean; why: string } & (
      | { epoch: number; way: PlannedWay }
      | { epoch: null; way: null }
    ),
  ): Promise<Effects>;
  /**
   * The target's control answers and is the machine that was proved. Waiting is the retry policy's: an attempt only asks. `attempts`:
   * how many it took; one: nothing was away.
   */
  awaitControl(input: { plan: SitePlan }): Promise<Effects & { attempts: number }>;
  /** What is known of a boot by this way that made no contact. */
  diagnoseBoot(input: { plan: SitePlan; way: PlannedWay }): Promise<Effects & { diagnosis: BootDiagnosis }>;
  /** The task has been run by the agent. Heartbeats while the agent works. */
  offerTask(input: { plan: SitePlan; task: PlannedTask }): Promise<TaskResult>;
  /** Override, media and boot order are those of the snapshot; the boot server serves home; the agent's token is void. */
  restoreBoot(input: {
    plan: SitePlan;
    snapshot: BootSnapshot;
    /** An arming may be in force that the BMC does not show. */
    armUnsure?: boolean;
  }): Promise<Effects & { notes: string[] }>;
  /** Compares with the snapshot and waits for the home check's proof. */
  verifyHome(input: {
    plan: SitePlan;
    snapshot: BootSnapshot;
    /** True: a verified power-off lies between. False: none, so only an unchanged boot id is proof. Null: nobody knows. */
    rebooted: boolean | null;
    /** A shutdown was asked for and given up: how long the power is watched for a system that obeys late. */
    watchLateOffMs: number;
  }): Promise<Effects & { verdict: HomeVerdict; waitedMs: number; provedAt: string }>;
  /**
   * The site has forgotten the session and the BMC's session is closed. `untouched`: it ended before its first write, and
   * what it took over from a lost session stays for the next one.
   */
  closeSite(input: { plan: SitePlan; untouched: boolean }): Promise<Effects>;
}

import type { AgentTask } from "../domain/agent.js";
import type { BootDiagnosis, PlannedWay, SitePlan, TaskResult } from "../domain/session.js";
import type { BootUrls } from "../ways/way.js";
import { wayOf } from "../ways/ways.js";
import type { Entries, MakeMedium } from "./entries.js";
import type { SiteBoot, SiteEntry } from "./entry.js";

/** What the site needs of the boot server, which serves the targets what the entries say. */
export interface BootServer {
  /**
   * Ensures that the image's files are in the cache with matching digests, and its medium where the way publishes one. Returns the
   * bytes that it fetched, 0 where all were there. `refused` where the way is less safe here than the plan needs.
   */
  stage(
    plan: SitePlan,
    way: PlannedWay,
    onProgress: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<{ fetchedBytes: number }>;
  /** `conflict` where the image is not staged. */
  requireStaged(plan: SitePlan): Promise<void>;
  /** How to make the medium of an arming. */
  makeMedium(plan: SitePlan): Promise<MakeMedium>;
  urlsOf(entry: SiteEntry, boot: SiteBoot): BootUrls;
}

/** What the site needs of the agent gateway, which speaks with the images. */
export interface AgentServer {
  /**
   * Active mode: hands the task to the agent and resolves with its result. Idempotent by task id: a result that is
   * there already is returned at once. Aborting `signal` tells the agent to stop the task (status `cancelled`).
   */
  offer(target: string, session: string, task: AgentTask, signal: AbortSignal): Promise<TaskResult>;
  /** Tells the agent that its work is over and what to do with the power. True when the agent got that; false after `waitMs`. */
  finish(target: string, session: string, power: "off" | "reboot" | "stay", waitMs: number): Promise<boolean>;
  /** The boot was withdrawn or armed anew: its offers end, and its agent is sent home. */
  bootEnded(target: string): void;
  /** The session has ended. */
  closed(target: string): Promise<void>;
}

/** The site as the activities use it. Each method ensures a state. */
export interface Site
  extends Pick<Entries, "open" | "renew" | "keepSnapshot" | "note" | "seenAtHome">,
    Pick<BootServer, "stage">,
    Pick<AgentServer, "offer" | "finish"> {
  entry(target: string): SiteEntry | null;
  entries(): SiteEntry[];
  /**
   * Ensures that the target is served what the way publishes, as arming number `epoch`. `conflict` where the image is not staged;
   * other errors: {@link Entries.publish}.
   */
  publish(target: string, session: string, epoch: number, way: PlannedWay, wasOff: boolean): Promise<BootUrls>;
  /** Ensures that the target is served its way home and that its agent's token is void. */
  withdraw(target: string, session: string): Promise<void>;
  /** Forgets the entry: the session has ended. */
  close(target: string, session: string): Promise<void>;
  /** What was seen of the target's present boot. */
  contacts(target: string): Pick<BootDiagnosis, "scriptFetched" | "kernelFetched" | "initrdFetched">;
}

/** The site of these entries, boot server and agent gateway: keeps the three in step. */
export function siteOf({ entries, boot, agents }: { entries: Entries; boot: BootServer; agents: AgentServer }): Site {
  return {
    open: (plan, runId) => entries.open(plan, runId),
    renew: (plan) => entries.renew(plan),
    entry: (target) => entries.get(target),
    entries: () => entries.all(),
    keepSnapshot: (target, session, snapshot) => entries.keepSnapshot(target, session, snapshot),
    note: (target, session, action) => entries.note(target, session, action),
    seenAtHome: (target, session) => entries.seenAtHome(target, session),
    stage: (plan, way, onProgress, signal) => boot.stage(plan, way, onProgress, signal),
    async publish(target, session, epoch, way, wasOff) {
      const entry = entries.own(target, session);
      await boot.requireStaged(entry.plan);
      const medium = wayOf(way.via).publishes === "medium" ? await boot.makeMedium(entry.plan) : null;
      const before = entry.boot;
      const published = await entries.publish(target, session, epoch, way, wasOff, medium);
      if (published !== before) agents.bootEnded(target);
      return boot.urlsOf(entry, published);
    },
    async withdraw(target, session) {
      await entries.withdraw(target, session);
      if (entries.get(target)?.session === session) agents.bootEnded(target);
    },
    async close(target, session) {
      const mine = entries.get(target)?.session === session;
      await entries.close(target, session);
      if (mine) await agents.closed(target);
    },
    contacts(target) {
      const boot = entries.get(target)?.boot;
      return {
        scriptFetched: Boolean(boot?.scriptFetchedAt),
        kernelFetched: Boolean(boot?.kernelFetchedAt),
        initrdFetched: Boolean(boot?.initrdFetchedAt),
      };
    },
    offer: (target, session, task, signal) => agents.offer(target, session, task, signal),
    finish: (target, session, power, waitMs) => agents.finish(target, session, power, waitMs),
  };
}

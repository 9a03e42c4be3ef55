import type { Logger } from "pino";
import { asActivities } from "../activities/activity.js";
import { Controls } from "../activities/controls.js";
import { siteActivities } from "../activities/site.js";
import { type Config, dataFolder } from "../src/config.js";
import { resolveCredentials } from "../src/control/credentials.js";
import { homeAsker } from "../src/control/home.js";
import { openControl } from "../src/control/open.js";
import { siteQueue } from "../src/domain/ids.js";
import { watchHomes } from "../src/site/home-watch.js";
import { siteReconciler } from "../src/site/reconciler.js";
import type { SessionLink } from "../src/site/session-link.js";
import type { ObjectStore } from "../src/stores/store.js";
import type { TemporalConnections } from "../src/temporal/connect.js";
import { sessionStates } from "../src/temporal/session-states.js";
import { watched, watchedControl, watchedPool } from "./effects.js";
import { reconcileInRounds } from "./rounds.js";
import { type RunningSite, startSite } from "./start-site.js";
import type { Tell } from "./stopping.js";
import { runWorker, workerOptions } from "./temporal.js";

/** Role `site`: what must be near the targets. Dials out to Temporal only. */
export async function startSiteRole(deps: {
  config: Config;
  temporal: TemporalConnections;
  objects: ObjectStore;
  link: SessionLink;
  /** Called at each attempt of an activity, for live progress. */
  onStart: (name: string, input: unknown) => void;
  log: Logger;
}): Promise<Omit<RunningSite, "close"> & { failed: Promise<never>; close(tell: Tell): Promise<void> }> {
  const { config, temporal, objects, link, onStart, log } = deps;
  const site = await startSite({
    config,
    stores: { objects, sources: { root: dataFolder(config, "images") } },
    link,
    log,
  });
  // References are relative to the state folder, and lead nowhere else.
  const root = dataFolder(config);
  const controls = new Controls(async (target) => {
    const control = await openControl(target, {
      credentials: (ref) => resolveCredentials(ref, { root }),
      root,
      throughPool: (pool) => watchedPool(pool, target.name),
    });
    return watchedControl(control, target.name);
  });
  const ask = homeAsker({ root });
  const activities = siteActivities({
    site: site.site,
    objects,
    controls,
    askHome: ask,
  });
  const unwatch = watchHomes({
    site: site.site,
    link,
    askHome: ask,
    log: (message, facts) => log.warn(facts, message),
  });
  const worker = await runWorker({
    ...workerOptions(temporal),
    taskQueue: siteQueue(config.PITSTOP_SITE),
    activities: asActivities(watched("activity", activities), (message, facts) => log.error(facts, message), onStart),
    // Waiting costs little, and must not starve a restore: a slot for every target that a site may have away at once.
    maxConcurrentActivityTaskExecutions: 2_000,
  });
  const warn = (message: string, facts: object) => log.warn(facts, message);
  const endRounds = reconcileInRounds(
    siteReconciler({ site: site.site, states: watched("states", sessionStates(temporal)), log: warn }),
    warn,
  );
  return {
    ...site,
    failed: worker.failed,
    close: async (tell) => {
      unwatch();
      await endRounds();
      tell(`the boot server and the agents' listener (${site.url}, ${site.tlsUrl})`);
      // The gateway first: its open offers then end as unreachable and are offered again. A worker that stops would
      // cancel them, and a cancelled task is stopped in the image.
      await site.close();
      tell("the worker that acts on the site's BMCs");
      await worker.stop();
      await controls.closeAll();
    },
  };
}

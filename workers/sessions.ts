import type { Logger } from "pino";
import { asActivities } from "../activities/activity.js";
import { centralActivities } from "../activities/central.js";
import { catalogueReconciler } from "../activities/reconciler.js";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import { CENTRAL_QUEUE } from "../src/domain/ids.js";
import type { SessionRecord } from "../src/domain/record.js";
import type { ObjectStore } from "../src/stores/store.js";
import type { TemporalConnections } from "../src/temporal/connect.js";
import type { TemporalSessionService } from "../src/temporal/session-service.js";
import { sessionStates } from "../src/temporal/session-states.js";
import { type BuildVersion, versioned } from "./deployment.js";
import { watched } from "./effects.js";
import { reconcileInRounds } from "./rounds.js";
import { type RunningWorker, runWorker, workerOptions, workflowBundle } from "./temporal.js";

/** Role `sessions`: decides what happens next, and keeps what happened. */
export async function startSessions(deps: {
  temporal: TemporalConnections;
  catalogue: Catalogue;
  objects: ObjectStore;
  sessions: TemporalSessionService;
  watch: (record: SessionRecord) => void;
  /** Without it, or null: no Worker Versioning. */
  version?: BuildVersion | null;
  log: Logger;
}): Promise<RunningWorker> {
  const { temporal, catalogue, objects, sessions, watch, version, log } = deps;
  const activities = centralActivities({
    catalogue,
    objects,
    watch,
    isBusy: async (target) => (await sessions.openSession(target)) !== null,
  });
  const worker = await runWorker({
    ...workerOptions(temporal),
    taskQueue: CENTRAL_QUEUE,
    workflowBundle: workflowBundle(temporal.sealed),
    ...(version ? versioned(version) : {}),
    activities: asActivities(watched("activity", activities), (message, facts) => log.error(facts, message)),
    // All sessions share one V8 heap in one thread: a second thread costs 40 MB, and their work is waiting.
    workflowThreadPoolSize: 1,
    // A session in the cache costs about 0.3 MB; one that is not there is replayed when it next moves.
    maxCachedWorkflows: 600,
    maxConcurrentWorkflowTaskExecutions: 40,
    maxConcurrentLocalActivityExecutions: 40,
    maxConcurrentActivityTaskExecutions: 100,
  });
  const warn = (message: string, facts: object) => log.warn(facts, message);
  const reconciler = catalogueReconciler({
    catalogue,
    states: watched("states", sessionStates(temporal)),
    watch,
    log: warn,
  });
  const endRounds = reconcileInRounds(reconciler, warn);
  return {
    failed: worker.failed,
    stop: async () => {
      await endRounds();
      await worker.stop();
    },
  };
}

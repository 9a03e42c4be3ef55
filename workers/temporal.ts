import { fileURLToPath } from "node:url";
import { DefaultLogger, Runtime, Worker, type WorkerOptions } from "@temporalio/worker";
import type { Logger } from "pino";
import { messageOf } from "../src/domain/errors.js";
import type { TemporalConnections } from "../src/temporal/connect.js";

const LEVELS = { TRACE: "trace", DEBUG: "debug", INFO: "debug", WARN: "warn", ERROR: "error" } as const;
let runtime: Runtime | null = null;

/**
 * Sends the SDK's own words into our log. Its information is our debugging. One per process; returns its end, without
 * which a process that never connected would not end by itself.
 */
export function installRuntime(log: Logger): () => Promise<void> {
  runtime ??= Runtime.install({
    logger: new DefaultLogger("INFO", ({ level, message, meta }) => {
      const { error, ...facts } = meta ?? {};
      // A site's worker has none by design.
      if (message.startsWith("No workflows registered")) return;
      log[LEVELS[level]]({ ...facts, taskToken: undefined, ...(error ? { error: messageOf(error) } : {}) }, message);
    }),
    telemetryOptions: { logging: { filter: { core: "WARN", other: "WARN" }, forward: {} } },
    shutdownSignals: [],
  });
  return async () => {
    await runtime?.shutdown();
    runtime = null;
  };
}

/** `sealed`: with the failure converter that encryption needs, which is part of the bundle. */
export const workflowBundle = (sealed: boolean): { codePath: string } => ({
  codePath: fileURLToPath(new URL(`../workflow-bundle${sealed ? ".sealed" : ""}.js`, import.meta.url)),
});

/** What every worker of ours has in common. */
export function workerOptions({
  native: connection,
  namespace,
  dataConverter,
}: Pick<TemporalConnections, "native" | "namespace" | "dataConverter">): Pick<
  WorkerOptions,
  | "connection"
  | "namespace"
  | "dataConverter"
  | "shutdownGraceTime"
  | "shutdownForceTime"
  | "maxHeartbeatThrottleInterval"
> & { defaultHeartbeatThrottleInterval: string } {
  return {
    connection,
    namespace,
    dataConverter,
    shutdownGraceTime: "5s",
    shutdownForceTime: "15s",
    // A cancellation reaches an activity with the answer to a heartbeat.
    maxHeartbeatThrottleInterval: "2s",
    defaultHeartbeatThrottleInterval: "2s",
  };
}

export interface RunningWorker {
  /** Rejects when the worker fails. */
  failed: Promise<never>;
  stop(): Promise<void>;
}

/** Runs a worker until `stop`. */
export async function runWorker(options: WorkerOptions): Promise<RunningWorker> {
  const worker = await Worker.create(options);
  const run = worker.run();
  return {
    failed: run.then(() => new Promise<never>(() => undefined)),
    stop: async () => {
      if (worker.getState() === "RUNNING") worker.shutdown();
      await run.catch(() => undefined);
    },
  };
}

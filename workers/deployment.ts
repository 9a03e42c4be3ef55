import type { WorkerOptions } from "@temporalio/worker";
import type { Config } from "../src/config.js";
import { messageOf, PitstopError } from "../src/domain/errors.js";
import type { TemporalConnections } from "../src/temporal/connect.js";

/** One build of the workflows among those that are kept running beside each other. */
export interface BuildVersion {
  deploymentName: string;
  buildId: string;
}

/** A server takes a poll and a write of its own database for it; a busy one some seconds. */
const KNOWN_MS = 30_000;
const KNOWN_POLL_MS = 200;

export const versionOf = (config: Pick<Config, "PITSTOP_DEPLOYMENT" | "PITSTOP_BUILD_ID">): BuildVersion | null =>
  config.PITSTOP_DEPLOYMENT && config.PITSTOP_BUILD_ID
    ? { deploymentName: config.PITSTOP_DEPLOYMENT, buildId: config.PITSTOP_BUILD_ID }
    : null;

/** PINNED: a session ends on the build that it began on. */
export const versioned = (version: BuildVersion): Pick<WorkerOptions, "workerDeploymentOptions"> => ({
  workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: "PINNED" },
});

/**
 * Ensures that sessions begin on this build from now on. Without a current version nothing would begin at all. The
 * version is known to Temporal only after its worker's first poll.
 */
export async function makeCurrent(
  { connection, namespace }: Pick<TemporalConnections, "connection" | "namespace">,
  { deploymentName, buildId }: BuildVersion,
): Promise<void> {
  const deadline = Date.now() + KNOWN_MS;
  for (;;) {
    try {
      await connection.workflowService.setWorkerDeploymentCurrentVersion({
        namespace,
        deploymentName,
        buildId,
        identity: "pitstop serve",
        ignoreMissingTaskQueues: true,
      });
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        throw new PitstopError(
          "refused",
          `Temporal did not make ${deploymentName}.${buildId} the current version (${messageOf(error)}); run: temporal worker deployment set-current-version --namespace ${namespace} --deployment-name ${deploymentName} --build-id ${buildId}`,
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, KNOWN_POLL_MS));
    }
  }
}

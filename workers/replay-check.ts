import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { WorkflowExecutionInfo } from "@temporalio/client";
import { defineSearchAttributeKey } from "@temporalio/common";
import { type ReplayHistoriesIterable, Worker } from "@temporalio/worker";
import type { Config } from "../src/config.js";
import { messageOf, PitstopError } from "../src/domain/errors.js";
import { CENTRAL_QUEUE } from "../src/domain/ids.js";
import {
  configuredAddress,
  connectTemporal,
  type TemporalAddress,
  type TemporalConnections,
} from "../src/temporal/connect.js";
import { openAll, SealedPayloads } from "../src/temporal/payload-codec.js";
import { type BuildVersion, versionOf } from "./deployment.js";
import { createLog } from "./log.js";
import { payloadKeys } from "./payload-keys.js";
import { installRuntime, workflowBundle } from "./temporal.js";

/** A hundred events replay in some 20 ms; a start must not take minutes because a thousand targets are away. */
const MOST = 1_000;
const WITHIN_MS = 60_000;
/** As many names as fit a sentence. */
const NAMED = 5;
const PINNED_TO = defineSearchAttributeKey("TemporalWorkerDeploymentVersion", "KEYWORD");

export interface ReplayReport {
  /** Open sessions and campaigns that this build would go on with. */
  open: number;
  replayed: number;
  broken: { workflowId: string; why: string }[];
}

/**
 * Replays the open sessions on this build's workflows, before a worker takes one of them over: reads only. A session whose
 * history these workflows do not understand would stand still in the middle of its way, home included.
 */
export async function replayOpenSessions(
  temporal: Pick<TemporalConnections, "client" | "dataConverter" | "sealed">,
  version: BuildVersion | null,
  bounds: { most: number; withinMs: number } = { most: MOST, withinMs: WITHIN_MS },
  bundle: { codePath: string } | { code: string } = workflowBundle(temporal.sealed),
): Promise<ReplayReport> {
  const report: ReplayReport = { open: 0, replayed: 0, broken: [] };
  const deadline = Date.now() + bounds.withinMs;
  const codec = temporal.dataConverter.payloadCodecs?.[0] ?? new SealedPayloads({ current: null, all: new Map() });
  const histories = async function* (): ReplayHistoriesIterable {
    const query = `ExecutionStatus = 'Running' AND TaskQueue = '${CENTRAL_QUEUE}'`;
    for await (const session of temporal.client.workflow.list({ query })) {
      if (isPinnedElsewhere(session, version)) continue;
      report.open += 1;
      if (report.open > bounds.most || Date.now() > deadline) continue;
      const { workflowId, runId } = session;
      const history = await temporal.client.workflow
        .getHandle(workflowId, runId)
        .fetchHistory()
        .catch(() => null);
      // It has ended since.
      if (!history) continue;
      try {
        await openAll(history, codec);
      } catch (error) {
        report.broken.push({ workflowId, why: messageOf(error) });
        continue;
      }
      report.replayed += 1;
      yield { workflowId, history };
    }
  };
  const options = { workflowBundle: bundle, dataConverter: temporal.dataConverter, replayName: "open-sessions" };
  for await (const { workflowId, error } of Worker.runReplayHistories(options, histories())) {
    if (error) report.broken.push({ workflowId, why: whyOf(error) });
  }
  return report;
}

/** Refuses, or only says, what `PITSTOP_REPLAY_CHECK` wants. */
export async function checkOpenSessions(parts: {
  config: Pick<Config, "PITSTOP_REPLAY_CHECK">;
  temporal: TemporalConnections;
  version: BuildVersion | null;
  warn: (message: string, facts: object) => void;
}): Promise<void> {
  const { config, temporal, version, warn } = parts;
  if (config.PITSTOP_REPLAY_CHECK === "off") return;
  const report = await replayOpenSessions(temporal, version);
  for (const broken of report.broken) warn("this version cannot go on with an open session", broken);
  if (report.replayed + report.broken.length < report.open) {
    warn("not every open session was replayed before serving", { open: report.open, replayed: report.replayed });
  }
  if (report.broken.length > 0 && config.PITSTOP_REPLAY_CHECK === "refuse") {
    throw new PitstopError("refused", sentenceOf(report));
  }
}

/** What is wrong, and what to do, in one sentence. */
export function sentenceOf({ broken, open }: ReplayReport): string {
  const names = broken.slice(0, NAMED).map(({ workflowId }) => workflowId);
  const more = broken.length > NAMED ? ` and ${broken.length - NAMED} more` : "";
  return `This version cannot go on with ${broken.length} of ${open} open sessions (${names.join(", ")}${more}): ${broken[0]?.why ?? ""} Start the version and the settings that they began with and let them end there, or serve nevertheless with PITSTOP_REPLAY_CHECK=warn, which leaves them standing still until you act (docs/upgrading.md).`;
}

/**
 * For `pitstop doctor`: what this build would find if it were started now, beside the server that runs. Null where there
 * is no Temporal server to ask.
 */
export async function lookAtOpenSessions(config: Config): Promise<ReplayReport | null> {
  const where = configuredAddress() ?? ownAddress(config);
  if (!where) return null;
  const endRuntime = installRuntime(createLog("silent"));
  try {
    const temporal = await connectTemporal(where, 3_000, await payloadKeys(config));
    try {
      return await replayOpenSessions(temporal, versionOf(config));
    } finally {
      await temporal.close();
    }
  } finally {
    await endRuntime();
  }
}

/** Our dev server leaves a note of where it is. */
function ownAddress(config: Config): TemporalAddress | null {
  const note = join(config.PITSTOP_DATA, "temporal", "server.json");
  if (!existsSync(note)) return null;
  const { pid, port } = JSON.parse(readFileSync(note, "utf8")) as { pid: number; port: number };
  return pid > 0 ? { address: `127.0.0.1:${port}`, namespace: "default", configured: false } : null;
}

/**
 * With Worker Versioning another build's sessions are not ours to go on with. A listing tells the version, one that a
 * person has moved the session to included, only as Temporal's own search attribute.
 */
function isPinnedElsewhere({ typedSearchAttributes }: WorkflowExecutionInfo, version: BuildVersion | null): boolean {
  if (!version) return false;
  const pinned = typedSearchAttributes.get(PINNED_TO);
  return pinned !== undefined && pinned !== `${version.deploymentName}:${version.buildId}`;
}

/** The SDK wraps the one sentence that says what differs into a dump of its own structures. */
function whyOf({ message }: Error): string {
  const told = /\[TMPRL\d+\] ([^"\n]+)/.exec(message)?.[1] ?? message.split("\n")[0] ?? "";
  return told.trim().replace(/\.?$/, ".");
}

import type { SiteEntry } from "../boot/site.js";
import type { ResultRequest } from "../domain/agent.js";
import { maskedBytes } from "../domain/mask.js";
import type { TaskResult } from "../domain/session.js";
import type { AgentObjects } from "./sessions.js";
import type { TaskLogs } from "./task-log.js";

/** Puts finding and log into the store, the log without `secrets`, and returns what history keeps: the small result with their digests. */
export async function keepResult(
  entry: SiteEntry,
  task: { id: string; name: string },
  result: ResultRequest,
  to: { objects: AgentObjects; logs: TaskLogs },
  secrets: readonly string[],
): Promise<TaskResult> {
  const log = await to.logs.read(entry.target, entry.session, task.id);
  const finding = result.finding ?? null;
  return {
    id: task.id,
    name: task.name,
    status: result.status,
    exitCode: result.exitCode,
    durationMs: result.durationMs,
    reason: result.reason,
    findingSha256: finding === null ? null : await to.objects.put(Buffer.from(JSON.stringify(finding))),
    logSha256: log === null ? null : await to.objects.put(maskedBytes(log, secrets)),
  };
}

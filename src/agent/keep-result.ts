import type { ResultRequest } from "../domain/agent.js";
import { maskedBytes } from "../domain/mask.js";
import type { TaskResult } from "../domain/session.js";
import type { SiteEntry } from "../site/entry.js";
import type { ObjectStore } from "../stores/store.js";
import type { TaskLogs } from "./task-log.js";

/** Puts finding and log into the store, the log without `secrets`. Returns the small result, with their digests, for the history. */
export async function keepResult(
  entry: SiteEntry,
  task: { id: string; name: string },
  result: ResultRequest,
  to: { objects: Pick<ObjectStore, "put">; logs: TaskLogs },
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

import type { Catalogue } from "../src/catalogue/catalogue.js";
import { isRetryable, messageOf, PitstopError } from "../src/domain/errors.js";
import type { SessionRecord } from "../src/domain/record.js";
import type { TaskResult } from "../src/domain/session.js";
import type { ObjectStore } from "../src/stores/store.js";
import type { CentralActivities } from "./contract.js";
import { planCampaign, planSession } from "./plan.js";
import { settledBy } from "./reconciler.js";

export interface CentralDeps {
  catalogue: Catalogue;
  objects: ObjectStore;
  /** Tells the watchers (SSE). */
  watch(record: SessionRecord): void;
  /** Whether a session holds the target now. */
  isBusy(target: string): Promise<boolean>;
}

/** The activities of the queue `pitstop`. */
export function centralActivities({ catalogue, objects, watch, isBusy }: CentralDeps): CentralActivities {
  return {
    planSession: (input) => planSession(catalogue, objects, input),

    planCampaign: ({ request }) => planCampaign(catalogue, request),

    async awaitFreeTarget({ target }) {
      // Waiting is the retry policy's: an attempt only looks.
      if (await isBusy(target)) throw new PitstopError("unreachable", `${target} is still busy.`);
    },

    keepSnapshot: ({ snapshot }) => catalogue.keepSnapshot(snapshot),

    async recordSession({ record }) {
      const whole: SessionRecord = { ...record, findings: await findingsOf(objects, record.tasks) };
      await catalogue.putRecord(whole);
      watch(whole);
    },

    async closeSnapshot({ target, session, by }) {
      // The record first: a lost session without a snapshot is one of which the reconciler says that nothing is left to bring home.
      const lost = session === by.session ? null : await catalogue.getRecord(session);
      if (lost?.endedAt === null) {
        const settled = settledBy(lost, by);
        await catalogue.putRecord(settled);
        watch(settled);
      }
      await catalogue.closeSnapshot(target, session);
    },
  };
}

/** A digest that somebody made up, or bytes that are no finding, must not keep a session from being recorded. */
async function findingOf(objects: ObjectStore, sha256: string): Promise<unknown> {
  try {
    if (!(await objects.has(sha256))) return { unavailable: `sha256:${sha256} is kept at the target's site` };
    return JSON.parse(Buffer.from(await objects.get(sha256)).toString("utf8"));
  } catch (error) {
    if (error instanceof PitstopError && isRetryable(error.code)) throw error;
    return { unavailable: `sha256:${sha256} could not be read: ${messageOf(error)}` };
  }
}

/** Findings by task name, resolved from the store. One that the store does not have is told as such, never left out. */
async function findingsOf(objects: ObjectStore, tasks: TaskResult[]): Promise<Record<string, unknown> | null> {
  const findings: Record<string, unknown> = {};
  for (const task of tasks) {
    if (!task.findingSha256) continue;
    findings[task.name] = await findingOf(objects, task.findingSha256);
  }
  return Object.keys(findings).length > 0 ? findings : null;
}

import { messageOf } from "../domain/errors.js";
import type { SessionStates } from "../domain/session-states.js";
import type { BootSnapshot } from "../domain/snapshot.js";
import type { Site } from "./site.js";

/** Between two starts of a restore of one target. A restore whose plan is refused ends at once, and must not loop. */
const FIRST_PAUSE_MS = 60_000;
const LAST_PAUSE_MS = 60 * 60_000;

export interface Reconciler {
  /** One look at everything. Throws when Temporal, or the catalogue, cannot be asked. */
  round(): Promise<void>;
}

export type ReconcilerLog = (message: string, facts: object) => void;

/**
 * Finds, by the site's journal, what lost sessions left behind, and starts the sessions that bring their targets home. The
 * catalogue has a reconciler too: it may have lost the snapshot, or the site may have been away when its session ended.
 */
export function siteReconciler(deps: {
  site: Pick<Site, "entries" | "entry" | "close">;
  states: SessionStates;
  log: ReconcilerLog;
  now?: () => number;
}): Reconciler {
  const { site, states, log } = deps;
  const restores = new Restores(states, log, deps.now ?? Date.now);
  return {
    async round() {
      const held = await states.held();
      for (const { target, session, snapshot } of site.entries().filter((entry) => !held.has(entry.target))) {
        await reconcileTarget(log, target, async () => {
          // A session that ended before its first write leaves the snapshot that it had adopted. Then the owner of that snapshot decides.
          const owner = snapshot?.session ?? session;
          if (owner !== session && (await states.of(target, session)).is === "running") return;
          const state = await states.of(target, owner);
          const entry = site.entry(target);
          if (state.is === "running" || entry?.session !== session) return;
          if (state.is === "lost" && entry.snapshot) await restores.bringHome(target, owner, entry.snapshot);
          else {
            log("the site forgets a session that has ended", { target, session, state: state.is });
            await site.close(target, session);
          }
        });
      }
    },
  };
}

/** Reconciles one target. Logs an error instead of throwing it: one target must not keep the others waiting. */
export async function reconcileTarget(log: ReconcilerLog, target: string, work: () => Promise<void>): Promise<void> {
  await work().catch((error: unknown) =>
    log("a target could not be reconciled; it is tried again in the next round", { target, error: messageOf(error) }),
  );
}

/** Starts restores: of one target and lost session after 1 min, 2 min, up to 1 h. */
export class Restores {
  readonly #next = new Map<string, { lost: string; at: number; pauseMs: number }>();

  constructor(
    private readonly states: SessionStates,
    private readonly log: ReconcilerLog,
    private readonly now: () => number,
  ) {}

  /** Starts a session that brings the target home, unless one was started too short a time ago, or holds the target. */
  async bringHome(target: string, lost: string, kept: BootSnapshot | null): Promise<void> {
    const last = this.#next.get(target);
    const next = last?.lost === lost ? last : { at: 0, pauseMs: FIRST_PAUSE_MS };
    if (this.now() < next.at) return;
    const session = await this.states.bringHome(target, kept);
    const pauseMs = Math.min(2 * next.pauseMs, LAST_PAUSE_MS);
    this.#next.set(target, { lost, at: this.now() + next.pauseMs, pauseMs });
    if (session) this.log("a session was lost; another one brings its target home", { target, lost, session });
  }
}

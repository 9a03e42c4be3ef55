import type { Site } from "../src/boot/site.js";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import { messageOf } from "../src/domain/errors.js";
import type { SessionFates } from "../src/domain/fates.js";
import type { SessionRecord } from "../src/domain/record.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";

/** More open records than sessions that one server runs at once; what is beyond waits for the next round. */
const MAX_RECORDS = 1000;
/** Between the starts of restores of one target: one that ends at once, because its plan is refused, is not tried in a loop. */
const FIRST_PAUSE_MS = 60_000;
const LAST_PAUSE_MS = 60 * 60_000;

export interface Reconciler {
  /** One look at everything. Throws when Temporal, or the catalogue, cannot be asked. */
  round(): Promise<void>;
}

type Log = (message: string, facts: object) => void;

/**
 * Finds what lost sessions left behind: a session may be terminated, its history deleted, or the Temporal server lost with
 * its database. Its snapshot is still open then, and a session in restore-only form brings its target home.
 */
export function catalogueReconciler(deps: {
  catalogue: Catalogue;
  fates: SessionFates;
  /** Tells the watchers (SSE). */
  watch(record: SessionRecord): void;
  log: Log;
  now?: () => number;
}): Reconciler {
  const { catalogue, fates, log } = deps;
  const starts = new Starts(fates, log, deps.now ?? Date.now);

  const snapshot = async ({ target, session }: BootSnapshot) => {
    const fate = await fates.of(target, session);
    if (fate.is === "running") return;
    // Asked again after the fate: a session closes its snapshot before it ends.
    const still = await catalogue.openSnapshot(target);
    if (still?.session !== session) return;
    // One that was terminated when its target had been proved home, and only its site was still to be told.
    const isHome = fate.is === "lost" && (await catalogue.getRecord(session))?.endedAt;
    if (fate.is === "lost" && !isHome) await starts.bringHome(target, session, null);
    else {
      log("a session that has ended had left its boot snapshot open; it is closed", { target, session });
      await catalogue.closeSnapshot(target, session);
    }
  };

  const record = async ({ target, session }: SessionRecord) => {
    const fate = await fates.of(target, session);
    if (fate.is === "running") return;
    // The snapshot first: whoever closes it has told the end of this record before.
    const away = (await catalogue.openSnapshot(target)) !== null;
    const open = await catalogue.getRecord(session);
    if (!open || open.endedAt !== null) return;
    if (fate.is === "lost" && away && open.failure?.code === "lost") return;
    const told =
      fate.is === "ended"
        ? { ...open, ...fate.summary, stranded: null, endedAt: new Date().toISOString() }
        : away
          ? asLost(open, `The session ${fate.how}; its target is brought home by another one.`)
          : { ...asLost(open, `The session ${fate.how}; nothing of its target is left to bring home.`), ...closed() };
    log("the record of a session that is no more was put right", { target, session, fate: fate.is, away });
    await catalogue.putRecord(told);
    deps.watch(told);
  };

  return {
    async round() {
      const held = await fates.held();
      for (const one of await catalogue.openSnapshots()) {
        // Whichever session holds the target, it is the one that took the snapshot, or it adopts it.
        if (!held.has(one.target)) await apart(log, one.target, () => snapshot(one));
      }
      const newest = new Set<string>();
      for (const one of await catalogue.listRecords({ open: true, limit: MAX_RECORDS })) {
        const isHolder = held.has(one.target) && !newest.has(one.target);
        newest.add(one.target);
        if (!isHolder) await apart(log, one.target, () => record(one));
      }
    },
  };
}

/**
 * The same at a site, from its journal: the catalogue may have lost the snapshot, or the site may have been away when its
 * session ended.
 */
export function siteReconciler(deps: {
  site: Pick<Site, "entries" | "entry" | "close">;
  fates: SessionFates;
  log: Log;
  now?: () => number;
}): Reconciler {
  const { site, fates, log } = deps;
  const starts = new Starts(fates, log, deps.now ?? Date.now);
  return {
    async round() {
      const held = await fates.held();
      for (const { target, session, snapshot } of site.entries().filter((entry) => !held.has(entry.target))) {
        await apart(log, target, async () => {
          // A session that ended before its first write leaves what it had adopted: whose that is decides.
          const owner = snapshot?.session ?? session;
          if (owner !== session && (await fates.of(target, session)).is === "running") return;
          const fate = await fates.of(target, owner);
          const entry = site.entry(target);
          if (fate.is === "running" || entry?.session !== session) return;
          if (fate.is === "lost" && entry.snapshot) await starts.bringHome(target, owner, entry.snapshot);
          else {
            log("the site forgets a session that is no more", { target, session, fate: fate.is });
            await site.close(target, session);
          }
        });
      }
    },
  };
}

/** The record of a session that was lost, as the session that brings its target home closes it. */
export function settledBy(
  lost: SessionRecord,
  by: { session: string; ending: "restored" | "released" | "stranded" | null },
): SessionRecord {
  const how = by.ending === "released" ? "was released by a person in" : "was brought home by";
  return {
    ...asLost(lost, `The session was lost; its target ${how} the session ${by.session}.`),
    ...closed(),
    ending: by.ending === "released" ? "released" : "restored",
    untouched: false,
  };
}

function asLost(record: SessionRecord, message: string): SessionRecord {
  return {
    ...record,
    outcome: record.outcome ?? "failed",
    stranded: null,
    ending: null,
    failure: { code: "lost", message },
    // Where the work had failed before, that is still to be read.
    notes: record.failure && record.failure.code !== "lost" ? [...record.notes, record.failure.message] : record.notes,
  };
}

const closed = () => ({ ending: "restored" as const, stranded: null, endedAt: new Date().toISOString() });

/** One target that cannot be looked after must not keep the others waiting. */
async function apart(log: Log, target: string, look: () => Promise<void>): Promise<void> {
  await look().catch((error: unknown) =>
    log("a target could not be reconciled; it is tried again in the next round", { target, error: messageOf(error) }),
  );
}

/** Starts of restores, each target's at growing distances. */
class Starts {
  readonly #next = new Map<string, { lost: string; at: number; pauseMs: number }>();

  constructor(
    private readonly fates: SessionFates,
    private readonly log: Log,
    private readonly now: () => number,
  ) {}

  async bringHome(target: string, lost: string, kept: BootSnapshot | null): Promise<void> {
    const last = this.#next.get(target);
    const next = last?.lost === lost ? last : { at: 0, pauseMs: FIRST_PAUSE_MS };
    if (this.now() < next.at) return;
    const session = await this.fates.bringHome(target, kept);
    const pauseMs = Math.min(2 * next.pauseMs, LAST_PAUSE_MS);
    this.#next.set(target, { lost, at: this.now() + next.pauseMs, pauseMs });
    if (session) this.log("a session was lost; another one brings its target home", { target, lost, session });
  }
}

import type { Catalogue } from "../src/catalogue/catalogue.js";
import type { SessionRecord } from "../src/domain/record.js";
import type { SessionStates } from "../src/domain/session-states.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import { type Reconciler, type ReconcilerLog, Restores, reconcileTarget } from "../src/site/reconciler.js";

/** More open records than sessions that one server runs at once. Those beyond it wait for the next round. */
const MAX_RECORDS = 1000;

/**
 * Finds, by the catalogue, what lost sessions left behind. A session may be terminated, its history deleted, or the Temporal
 * server lost with its database. Its snapshot is still open then, and a session in restore-only form brings its target home.
 */
export function catalogueReconciler(deps: {
  catalogue: Catalogue;
  states: SessionStates;
  /** Tells the watchers (SSE). */
  watch(record: SessionRecord): void;
  log: ReconcilerLog;
  now?: () => number;
}): Reconciler {
  const { catalogue, states, log } = deps;
  const restores = new Restores(states, log, deps.now ?? Date.now);

  const snapshot = async ({ target, session }: BootSnapshot) => {
    const state = await states.of(target, session);
    if (state.is === "running") return;
    // Asked again after the state: a session closes its snapshot before it ends.
    const still = await catalogue.openSnapshot(target);
    if (still?.session !== session) return;
    // The session was terminated after its target was proved home, when only its site was left to be told.
    const isHome = state.is === "lost" && (await catalogue.getRecord(session))?.endedAt;
    if (state.is === "lost" && !isHome) await restores.bringHome(target, session, null);
    else {
      log("a session that has ended had left its boot snapshot open; it is closed", { target, session });
      await catalogue.closeSnapshot(target, session);
    }
  };

  const record = async ({ target, session }: SessionRecord) => {
    const state = await states.of(target, session);
    if (state.is === "running") return;
    // The snapshot is read before the record: the session that closes it has written this record's end before.
    const away = (await catalogue.openSnapshot(target)) !== null;
    const open = await catalogue.getRecord(session);
    if (!open || open.endedAt !== null) return;
    if (state.is === "lost" && away && open.failure?.code === "lost") return;
    const told =
      state.is === "ended"
        ? { ...open, ...state.summary, stranded: null, endedAt: new Date().toISOString() }
        : away
          ? asLost(open, `The session ${state.how}; its target is brought home by another one.`)
          : { ...asLost(open, `The session ${state.how}; nothing of its target is left to bring home.`), ...closed() };
    log("the record of a session that has ended was put right", { target, session, state: state.is, away });
    await catalogue.putRecord(told);
    deps.watch(told);
  };

  return {
    async round() {
      const held = await states.held();
      for (const one of await catalogue.openSnapshots()) {
        // The session that holds a target has taken its snapshot, or adopts it.
        if (!held.has(one.target)) await reconcileTarget(log, one.target, () => snapshot(one));
      }
      const newest = new Set<string>();
      for (const one of await catalogue.listRecords({ open: true, limit: MAX_RECORDS })) {
        const isHolder = held.has(one.target) && !newest.has(one.target);
        newest.add(one.target);
        if (!isHolder) await reconcileTarget(log, one.target, () => record(one));
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
    // Keeps the failure of the work where there was one before.
    notes: record.failure && record.failure.code !== "lost" ? [...record.notes, record.failure.message] : record.notes,
  };
}

const closed = () => ({ ending: "restored" as const, stranded: null, endedAt: new Date().toISOString() });

import { beforeEach, describe, expect, it } from "vitest";
import { centralActivities } from "../../activities/central.js";
import { catalogueReconciler, settledBy } from "../../activities/reconciler.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { BootSnapshot } from "../../src/domain/snapshot.js";
import { KnownStates } from "../site/known-states.js";

const snapshotOf = (target: string, session: string) => ({ target, session }) as BootSnapshot;
const recordOf = (target: string, session: string, more: Partial<SessionRecord> = {}) =>
  ({
    ...{ target, session, endedAt: null, outcome: null, ending: null, failure: null, stranded: null, notes: [] },
    ...more,
  }) as unknown as SessionRecord;

/** The catalogue's sessions, in memory. */
class Kept {
  readonly snapshots = new Map<string, BootSnapshot>();
  readonly records = new Map<string, SessionRecord>();
  openSnapshots = async () => [...this.snapshots.values()];
  openSnapshot = async (target: string) => this.snapshots.get(target) ?? null;
  closeSnapshot = async (target: string, session: string) => {
    if (this.snapshots.get(target)?.session === session) this.snapshots.delete(target);
  };
  getRecord = async (session: string) => this.records.get(session) ?? null;
  putRecord = async (record: SessionRecord) => {
    if (record.endedAt === null && this.records.get(record.session)?.endedAt) return;
    this.records.set(record.session, record);
  };
  listRecords = async () => [...this.records.values()].filter((record) => record.endedAt === null).reverse();
}

let states: KnownStates;
let kept: Kept;
let said: string[];
let clock: number;
let watched: string[];
beforeEach(() => {
  states = new KnownStates();
  kept = new Kept();
  said = [];
  clock = 0;
  watched = [];
});
const log = (message: string) => void said.push(message);
const central = () =>
  catalogueReconciler({
    catalogue: kept as never,
    states,
    watch: (record) => void watched.push(record.session),
    log,
    now: () => clock,
  });

describe("what the catalogue has of sessions that have ended", () => {
  it("a lost session's target is brought home, and its record says that it was lost and is under way home", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    await central().round();
    expect(states.starts).toEqual([{ target: "t", kept: null }]);
    expect(kept.records.get("s")).toMatchObject({ endedAt: null, outcome: "failed", failure: { code: "lost" } });
    expect(watched).toEqual(["s"]);
    await central().round();
    expect(watched).toEqual(["s"]);
  });

  it("a target that a session holds is left to that session", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    states.running.add("t");
    await central().round();
    expect(states.starts).toEqual([]);
    expect(kept.records.get("s")?.failure).toBeNull();
  });

  it("a session that list and description disagree about is left alone when the description says that it runs", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    states.known.set("s", { is: "running" });
    await central().round();
    expect(states.starts).toEqual([]);
    expect(kept.records.get("s")?.failure).toBeNull();
  });

  it("a snapshot that its session closed while it was asked for starts nothing", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    states.onAsk = () => kept.snapshots.delete("t");
    await central().round();
    expect(states.starts).toEqual([]);
  });

  it("the snapshot of a session that went through its own end is closed, and the record takes that end over", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    const summary = { session: "s", target: "t", untouched: false, failure: null, stranded: null };
    states.known.set("s", { is: "ended", summary: { ...summary, outcome: "succeeded", ending: "released" } });
    await central().round();
    expect(states.starts).toEqual([]);
    expect(kept.snapshots.size).toBe(0);
    expect(kept.records.get("s")).toMatchObject({ outcome: "succeeded", ending: "released", failure: null });
    expect(kept.records.get("s")?.endedAt).not.toBeNull();
  });

  it("a session that was lost before it had looked at its target is told as ended", async () => {
    kept.records.set("s", recordOf("t", "s"));
    await central().round();
    expect(states.starts).toEqual([]);
    expect(kept.records.get("s")).toMatchObject({ ending: "restored", outcome: "failed", failure: { code: "lost" } });
  });

  it("an older open record of a target that is held is put right all the same", async () => {
    kept.records.set("old", recordOf("t", "old"));
    kept.records.set("new", recordOf("t", "new"));
    states.running.add("t");
    states.known.set("new", { is: "running" });
    await central().round();
    expect(kept.records.get("old")?.failure?.code).toBe("lost");
    expect(kept.records.get("new")?.failure).toBeNull();
  });

  it("a restore that ends at once is started again at growing distances only", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    const reconciler = central();
    const startsAfter = async (ms: number) => {
      clock += ms;
      await reconciler.round();
      return states.starts.length;
    };
    expect(await startsAfter(0)).toBe(1);
    expect(await startsAfter(59_000)).toBe(1);
    expect(await startsAfter(1_000)).toBe(2);
    expect(await startsAfter(60_000)).toBe(2);
    expect(await startsAfter(60_000)).toBe(3);
    // Another session of the same target that is lost later is another matter.
    kept.snapshots.set("t", snapshotOf("t", "later"));
    expect(await startsAfter(0)).toBe(4);
  });

  it("a Temporal server that does not answer has lost nothing", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    states.away = true;
    await expect(central().round()).rejects.toThrow("does not answer");
    expect(states.starts).toEqual([]);
  });

  it("one target that cannot be looked after does not keep the others waiting", async () => {
    for (const name of ["a", "b"]) kept.snapshots.set(name, snapshotOf(name, name));
    const bring = states.bringHome.bind(states);
    states.bringHome = async (target, snapshot) => {
      if (target === "a") throw new Error("no");
      return await bring(target, snapshot);
    };
    await central().round();
    expect(states.starts.map(({ target }) => target)).toEqual(["b"]);
    expect(said).toContain("a target could not be reconciled; it is tried again in the next round");
  });
});

describe("a session that was terminated when its target had been proved home", () => {
  it("has its snapshot closed: that is of a day that is over", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s", { endedAt: "2026-01-01T00:00:00Z", ending: "restored" }));
    await central().round();
    expect(states.starts).toEqual([]);
    expect(kept.snapshots.size).toBe(0);
  });
});

describe("a lost session whose target a person releases while it is looked after", () => {
  it("has that end in its record, whichever of the two is the quicker at which step", async () => {
    const wait = async (turns: number) => {
      for (let i = 0; i < turns; i++) await null;
    };
    for (let ahead = 0; ahead < 24; ahead++) {
      for (let pace = 0; pace < 8; pace++) {
        const both = new Kept();
        both.snapshots.set("t", snapshotOf("t", "s"));
        both.records.set("s", recordOf("t", "s"));
        const slowed = new Proxy(both, {
          get:
            (of, name: keyof Kept) =>
            async (...args: never[]) => {
              await wait(pace);
              return await (of[name] as unknown as (...given: never[]) => unknown)(...args);
            },
        });
        const { closeSnapshot } = centralActivities({ catalogue: slowed, watch: () => undefined } as never);
        const reconciler = catalogueReconciler({ catalogue: both as never, states, watch: () => undefined, log });
        const by = { session: "r", ending: "released" as const };
        await Promise.all([
          reconciler.round(),
          wait(ahead).then(() => closeSnapshot({ target: "t", session: "s", by })),
        ]);
        await reconciler.round();
        expect({ ahead, pace, ending: both.records.get("s")?.ending }).toEqual({ ahead, pace, ending: "released" });
      }
    }
  });
});

describe("the record of a session that another one brought home", () => {
  it("keeps why the work had failed before, and never says that the target was untouched", () => {
    const failed = recordOf("t", "s", { outcome: "aborted", failure: { code: "aborted", message: "Aborted by me." } });
    const settled = settledBy(failed, { session: "r", ending: "restored" });
    expect(settled).toMatchObject({ outcome: "aborted", ending: "restored", untouched: false });
    expect(settled.failure?.message).toBe("The session was lost; its target was brought home by the session r.");
    expect(settled.notes).toEqual(["Aborted by me."]);
    expect(settledBy(failed, { session: "r", ending: "released" }).ending).toBe("released");
  });
});

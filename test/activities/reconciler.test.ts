import { beforeEach, describe, expect, it } from "vitest";
import { centralActivities } from "../../activities/central.js";
import { catalogueReconciler, settledBy, siteReconciler } from "../../activities/reconciler.js";
import type { SiteEntry } from "../../src/boot/site.js";
import type { Fate, SessionFates } from "../../src/domain/fates.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { BootSnapshot } from "../../src/domain/snapshot.js";

/** Temporal, as far as a reconciler asks it. */
class Fates implements SessionFates {
  readonly running = new Set<string>();
  readonly known = new Map<string, Fate>();
  readonly starts: { target: string; kept: BootSnapshot | null }[] = [];
  onAsk: () => void = () => undefined;
  away = false;
  async held() {
    if (this.away) throw new Error("Temporal does not answer");
    return this.running;
  }
  async of(_target: string, session: string): Promise<Fate> {
    this.onAsk();
    return this.known.get(session) ?? { is: "lost", how: "is not known" };
  }
  async bringHome(target: string, kept: BootSnapshot | null) {
    this.starts.push({ target, kept });
    return `restore-${this.starts.length}`;
  }
}

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

let fates: Fates;
let kept: Kept;
let said: string[];
let clock: number;
let watched: string[];
beforeEach(() => {
  fates = new Fates();
  kept = new Kept();
  said = [];
  clock = 0;
  watched = [];
});
const log = (message: string) => void said.push(message);
const central = () =>
  catalogueReconciler({
    catalogue: kept as never,
    fates,
    watch: (record) => void watched.push(record.session),
    log,
    now: () => clock,
  });

describe("what the catalogue has of sessions that are no more", () => {
  it("a lost session's target is brought home, and its record says that it was lost and is under way home", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    await central().round();
    expect(fates.starts).toEqual([{ target: "t", kept: null }]);
    expect(kept.records.get("s")).toMatchObject({ endedAt: null, outcome: "failed", failure: { code: "lost" } });
    expect(watched).toEqual(["s"]);
    await central().round();
    expect(watched).toEqual(["s"]);
  });

  it("a target that a session holds is left to that session", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    fates.running.add("t");
    await central().round();
    expect(fates.starts).toEqual([]);
    expect(kept.records.get("s")?.failure).toBeNull();
  });

  it("a session that list and description disagree about is left alone when the description says that it runs", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    fates.known.set("s", { is: "running" });
    await central().round();
    expect(fates.starts).toEqual([]);
    expect(kept.records.get("s")?.failure).toBeNull();
  });

  it("a snapshot that its session closed while it was asked for starts nothing", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    fates.onAsk = () => kept.snapshots.delete("t");
    await central().round();
    expect(fates.starts).toEqual([]);
  });

  it("the snapshot of a session that went through its own end is closed, and the record takes that end over", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s"));
    const summary = { session: "s", target: "t", untouched: false, failure: null, stranded: null };
    fates.known.set("s", { is: "ended", summary: { ...summary, outcome: "succeeded", ending: "released" } });
    await central().round();
    expect(fates.starts).toEqual([]);
    expect(kept.snapshots.size).toBe(0);
    expect(kept.records.get("s")).toMatchObject({ outcome: "succeeded", ending: "released", failure: null });
    expect(kept.records.get("s")?.endedAt).not.toBeNull();
  });

  it("a session that was lost before it had looked at its target is told as ended", async () => {
    kept.records.set("s", recordOf("t", "s"));
    await central().round();
    expect(fates.starts).toEqual([]);
    expect(kept.records.get("s")).toMatchObject({ ending: "restored", outcome: "failed", failure: { code: "lost" } });
  });

  it("an older open record of a target that is held is put right all the same", async () => {
    kept.records.set("old", recordOf("t", "old"));
    kept.records.set("new", recordOf("t", "new"));
    fates.running.add("t");
    fates.known.set("new", { is: "running" });
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
      return fates.starts.length;
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
    fates.away = true;
    await expect(central().round()).rejects.toThrow("does not answer");
    expect(fates.starts).toEqual([]);
  });

  it("one target that cannot be looked after does not keep the others waiting", async () => {
    for (const name of ["a", "b"]) kept.snapshots.set(name, snapshotOf(name, name));
    const bring = fates.bringHome.bind(fates);
    fates.bringHome = async (target, snapshot) => {
      if (target === "a") throw new Error("no");
      return await bring(target, snapshot);
    };
    await central().round();
    expect(fates.starts.map(({ target }) => target)).toEqual(["b"]);
    expect(said).toContain("a target could not be reconciled; it is tried again in the next round");
  });
});

describe("a session that was terminated when its target had been proved home", () => {
  it("has its snapshot closed: that is of a day that is over", async () => {
    kept.snapshots.set("t", snapshotOf("t", "s"));
    kept.records.set("s", recordOf("t", "s", { endedAt: "2026-01-01T00:00:00Z", ending: "restored" }));
    await central().round();
    expect(fates.starts).toEqual([]);
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
        const reconciler = catalogueReconciler({ catalogue: both as never, fates, watch: () => undefined, log });
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

describe("what a site's journal has of sessions that are no more", () => {
  const entries = new Map<string, SiteEntry>();
  const closed: string[] = [];
  beforeEach(() => {
    entries.clear();
    closed.length = 0;
  });
  const site = {
    entries: () => [...entries.values()],
    entry: (target: string) => entries.get(target) ?? null,
    close: async (target: string, session: string) => {
      closed.push(session);
      entries.delete(target);
    },
  };
  const put = (target: string, session: string, snapshot: BootSnapshot | null) =>
    entries.set(target, { target, session, snapshot } as SiteEntry);

  it("a lost session's snapshot is handed to the session that brings its target home", async () => {
    put("t", "s", snapshotOf("t", "s"));
    await siteReconciler({ site, fates, log }).round();
    expect(fates.starts).toEqual([{ target: "t", kept: snapshotOf("t", "s") }]);
    expect(closed).toEqual([]);
  });

  it("what a session left that went through its own end, or took no snapshot, is forgotten", async () => {
    put("ended", "e", snapshotOf("ended", "e"));
    put("early", "x", null);
    put("alive", "a", snapshotOf("alive", "a"));
    put("held", "h", snapshotOf("held", "h"));
    fates.known.set("e", { is: "ended", summary: {} as never });
    fates.known.set("a", { is: "running" });
    fates.running.add("held");
    await siteReconciler({ site, fates, log }).round();
    expect(fates.starts).toEqual([]);
    expect(closed).toEqual(["e", "x"]);
  });

  it("a lost session's snapshot in the entry of one that ended untouched is brought home, not forgotten with it", async () => {
    put("t", "untouched", snapshotOf("t", "lost"));
    fates.known.set("untouched", { is: "ended", summary: {} as never });
    await siteReconciler({ site, fates, log }).round();
    expect(fates.starts).toEqual([{ target: "t", kept: snapshotOf("t", "lost") }]);
    expect(closed).toEqual([]);
    put("u", "alive", snapshotOf("u", "lost"));
    fates.known.set("alive", { is: "running" });
    await siteReconciler({ site, fates, log }).round();
    expect(fates.starts.map(({ target }) => target)).toEqual(["t", "t"]);
  });

  it("an entry that another session took over meanwhile is its own business", async () => {
    put("t", "s", snapshotOf("t", "s"));
    fates.onAsk = () => put("t", "next", snapshotOf("t", "s"));
    await siteReconciler({ site, fates, log }).round();
    expect(fates.starts).toEqual([]);
    expect(closed).toEqual([]);
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

import { beforeEach, describe, expect, it } from "vitest";
import type { BootSnapshot } from "../../src/domain/snapshot.js";
import type { SiteEntry } from "../../src/site/entry.js";
import { siteReconciler } from "../../src/site/reconciler.js";
import { KnownStates } from "./known-states.js";

const snapshotOf = (target: string, session: string) => ({ target, session }) as BootSnapshot;
let states: KnownStates;
beforeEach(() => {
  states = new KnownStates();
});
const log = () => undefined;

describe("what a site's journal has of sessions that have ended", () => {
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
    await siteReconciler({ site, states, log }).round();
    expect(states.starts).toEqual([{ target: "t", kept: snapshotOf("t", "s") }]);
    expect(closed).toEqual([]);
  });

  it("what a session left that went through its own end, or took no snapshot, is forgotten", async () => {
    put("ended", "e", snapshotOf("ended", "e"));
    put("early", "x", null);
    put("alive", "a", snapshotOf("alive", "a"));
    put("held", "h", snapshotOf("held", "h"));
    states.known.set("e", { is: "ended", summary: {} as never });
    states.known.set("a", { is: "running" });
    states.running.add("held");
    await siteReconciler({ site, states, log }).round();
    expect(states.starts).toEqual([]);
    expect(closed).toEqual(["e", "x"]);
  });

  it("a lost session's snapshot in the entry of one that ended untouched is brought home, not forgotten with it", async () => {
    put("t", "untouched", snapshotOf("t", "lost"));
    states.known.set("untouched", { is: "ended", summary: {} as never });
    await siteReconciler({ site, states, log }).round();
    expect(states.starts).toEqual([{ target: "t", kept: snapshotOf("t", "lost") }]);
    expect(closed).toEqual([]);
    put("u", "alive", snapshotOf("u", "lost"));
    states.known.set("alive", { is: "running" });
    await siteReconciler({ site, states, log }).round();
    expect(states.starts.map(({ target }) => target)).toEqual(["t", "t"]);
  });

  it("an entry that another session took over meanwhile is its own business", async () => {
    put("t", "s", snapshotOf("t", "s"));
    states.onAsk = () => put("t", "next", snapshotOf("t", "s"));
    await siteReconciler({ site, states, log }).round();
    expect(states.starts).toEqual([]);
    expect(closed).toEqual([]);
  });
});

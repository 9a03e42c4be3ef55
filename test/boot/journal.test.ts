import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Coalesced } from "../../src/boot/coalesced.js";
import { Journal } from "../../src/boot/journal.js";
import type { SiteEntry } from "../../src/boot/site.js";
import { planOf, sites, snapshotOf } from "./help.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-journal-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entryOf = (name: string): SiteEntry => ({
  target: name,
  session: "s-1",
  runId: "s-1",
  plan: planOf({ name, session: "s-1" }),
  snapshot: snapshotOf("s-1"),
  absoluteDeadline: "2027-01-01T00:00:00.000Z",
  boot: null,
  results: {},
  ledger: { outbox: [], offered: {}, leaseUntil: null, withdrawnAt: null, lastEpoch: 0, powerActions: [] },
});

describe("the journal", () => {
  it("gives back after a restart what was saved, and nothing of what was not", async () => {
    const journal = await Journal.open(folder);
    const saved = entryOf("saved");
    journal.put(saved);
    await journal.save(saved);
    journal.put(entryOf("unsaved"));
    const again = await Journal.open(folder);
    expect(again.all()).toEqual([saved]);
    expect(statSync(join(folder, "saved.json")).mode & 0o777).toBe(0o600);
  });

  it("passes over a torn write and removes it", async () => {
    writeFileSync(join(folder, ".unfinished-r1.json-aabbcc"), '{"target": "r1');
    expect((await Journal.open(folder)).all()).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ["is not JSON", "{"],
    ["is no entry", '{"target":"r1"}'],
    ["is about another target", JSON.stringify(entryOf("r2"))],
  ])("moves a file that %s aside and reports it", async (_why, text) => {
    writeFileSync(join(folder, "r1.json"), text);
    const journal = await Journal.open(folder);
    expect(journal.all()).toEqual([]);
    expect(journal.corrupt).toHaveLength(1);
    const [left] = readdirSync(folder);
    expect(left).toMatch(/^r1\.json\.corrupt-\d+$/);
    expect(readFileSync(join(folder, left ?? ""), "utf8")).toBe(text);
  });

  it("does not open with a file that cannot be read, and leaves it where it is", async () => {
    mkdirSync(join(folder, "r1.json"));
    await expect(Journal.open(folder)).rejects.toMatchObject({ code: "EISDIR" });
    expect(readdirSync(folder)).toEqual(["r1.json"]);
  });

  it("keeps the four newest corrupt files of a target, and those of others", async () => {
    const old = [1, 2, 3, 4, 5].map((n) => `r1.json.corrupt-${1_700_000_000_000 + n}`);
    for (const name of [...old, "r10.json.corrupt-1600000000000"]) writeFileSync(join(folder, name), "{");
    writeFileSync(join(folder, "r1.json"), "{");
    const { corrupt } = await Journal.open(folder);
    const newest = basename(corrupt[0]?.movedTo ?? "");
    expect(readdirSync(folder).sort()).toEqual([...old.slice(2), newest, "r10.json.corrupt-1600000000000"].sort());
  });

  it("saves by settle what a failed save left in memory alone", async () => {
    const journal = await Journal.open(folder);
    const entry = entryOf("r1");
    journal.put(entry);
    // A folder in the file's place: the write fails, as on a disk that is full.
    mkdirSync(join(folder, "r1.json", "in-the-way"), { recursive: true });
    await expect(journal.save(entry)).rejects.toThrow();
    rmSync(join(folder, "r1.json"), { recursive: true });
    await journal.settle(entry);
    expect((await Journal.open(folder)).all()).toEqual([entry]);
  });

  it("keeps an entry whose file could not be removed, so that its removal is tried again", async () => {
    const journal = await Journal.open(folder);
    journal.put(entryOf("r1"));
    mkdirSync(join(folder, "r1.json", "in-the-way"), { recursive: true });
    await expect(journal.remove("r1")).rejects.toThrow();
    expect(journal.get("r1")).not.toBeNull();
    rmSync(join(folder, "r1.json"), { recursive: true });
    await journal.remove("r1");
    expect(journal.get("r1")).toBeNull();
  });

  it("forgets durably, and a save that comes too late brings nothing back", async () => {
    const journal = await Journal.open(folder);
    const entry = entryOf("r1");
    journal.put(entry);
    const saving = journal.save(entry);
    await journal.remove("r1");
    await saving;
    await journal.save(entry);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("saves the last of many changes that come at once, in few writes", async () => {
    const journal = await Journal.open(folder);
    const entry = entryOf("r1");
    journal.put(entry);
    const saves = Array.from({ length: 100 }, (_, epoch) => {
      entry.ledger.lastEpoch = epoch;
      return journal.save(entry);
    });
    await Promise.all(saves);
    expect((await Journal.open(folder)).get("r1")?.ledger.lastEpoch).toBe(99);
  });

  it("says so when it cannot write", async () => {
    const journal = await Journal.open(folder);
    const entry = entryOf("r1");
    journal.put(entry);
    rmSync(folder, { recursive: true });
    await expect(journal.save(entry)).rejects.toThrow("ENOENT");
  });
});

describe("a coalesced write", () => {
  it("answers each caller by a run that began after its call, and shares the runs", async () => {
    let begun = 0;
    let fail = false;
    const work = new Coalesced(async () => {
      begun++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (fail) throw new Error("no");
    });
    const first = work.run();
    const others = [work.run(), work.run(), work.run()];
    await Promise.all([first, ...others]);
    expect(begun).toBe(2);
    fail = true;
    await expect(work.run()).rejects.toThrow("no");
    fail = false;
    await work.run();
    expect(begun).toBe(4);
  });
});

describe("an entry", () => {
  const newSite = sites();

  it("keeps the first snapshot, across restarts and for the session that takes over from a dead one", async () => {
    const site = await newSite();
    const first = planOf({ session: "s-1" });
    await site.site.open(first, "run-1");
    const kept = await site.site.keepSnapshot("r1-n07", "s-1", snapshotOf("s-1"));
    await site.restart();
    const armed = { ...snapshotOf("s-1", "Off"), takenAt: "2026-02-02T00:00:00.000Z" };
    expect(await site.site.keepSnapshot("r1-n07", "s-1", armed)).toEqual(kept);

    site.link.alive = true;
    await expect(site.site.open(planOf({ session: "s-2" }), "run-2")).rejects.toMatchObject({ code: "busy" });
    site.link.alive = "unknown";
    await expect(site.site.open(planOf({ session: "s-2" }), "run-2")).rejects.toMatchObject({ code: "unreachable" });
    site.link.alive = true;
    site.link.ended.add("s-1");
    expect((await site.site.open(planOf({ session: "s-2" }), "run-2")).snapshot).toEqual(kept);
    await expect(site.site.keepSnapshot("r1-n07", "s-1", armed)).rejects.toMatchObject({ code: "busy" });
  });

  it("is published as an ensured state, and a late attempt of an earlier arming is refused", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan, 2);
    const nonce = await site.nonce();
    const again = await site.site.publish("r1-n07", plan.session, 2, false);
    expect(site.site.entry("r1-n07")?.boot?.nonces.map((one) => one.nonce)).toEqual([nonce]);
    await expect(site.site.publish("r1-n07", plan.session, 1, false)).rejects.toMatchObject({ code: "conflict" });
    const next = await site.site.publish("r1-n07", plan.session, 3, false);
    expect(next.httpBootUri).not.toBe(again.httpBootUri);
    expect((await site.get(`/b/${nonce}/vmlinuz`)).status).toBe(404);
    await site.site.withdraw("r1-n07", plan.session);
    await site.site.withdraw("r1-n07", plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 3, false)).rejects.toMatchObject({ code: "conflict" });
  });

  it("is not published before its image is staged, by virtual media, or past its deadline", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.site.open(plan, plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 1, false)).rejects.toThrow(/is not staged/);
    await site.publish(plan);
    site.nowMs = Date.parse(plan.absoluteDeadline);
    await expect(site.site.publish("r1-n07", plan.session, 2, false)).rejects.toThrow(/deadline/);
    await site.site.close("r1-n07", plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 2, false)).rejects.toMatchObject({ code: "notFound" });
  });

  it("is staged once, with a matching digest only", async () => {
    const site = await newSite();
    const plan = planOf();
    const signal = new AbortController().signal;
    const seen: number[] = [];
    const both = [site.site.stage(plan, (bytes) => seen.push(bytes), signal), site.site.stage(plan, () => {}, signal)];
    expect((await Promise.all(both)).map((one) => one.fetchedBytes).sort((a, b) => a - b)).toEqual([0, 12006]);
    expect(seen.at(-1)).toBe(12006);
    const wrong = planOf({ kernel: { url: "file:images/vmlinuz", sha256: "0".repeat(64) } });
    await expect(site.site.stage(wrong, () => {}, signal)).rejects.toThrow(
      /has the sha256 [0-9a-f]{64}, but the image says 0{64}/,
    );
  });
});

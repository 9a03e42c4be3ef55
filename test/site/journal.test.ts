import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Coalesced } from "../../src/site/coalesced.js";
import { freshEntry, type SiteEntry } from "../../src/site/entry.js";
import { Journal } from "../../src/site/journal.js";
import { planOf, snapshotOf } from "../boot/help.js";

let folder: string;
beforeEach(() => {
  logged = [];
  folder = mkdtempSync(join(tmpdir(), "pitstop-journal-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entryOf = (name: string): SiteEntry => ({
  ...freshEntry(planOf({ name, session: "s-1" }), "s-1"),
  snapshot: snapshotOf("s-1"),
});

/** What the journal logged. */
let logged: { facts: Record<string, unknown>; message: string }[];
const log = { error: (facts: unknown, message = "") => void logged.push({ facts: facts as never, message }) };
const open = () => Journal.open(folder, log);

describe("the journal", () => {
  it("gives back after a restart what was saved, and nothing of what was not", async () => {
    const journal = await open();
    const saved = entryOf("saved");
    journal.put(saved);
    await journal.save(saved);
    journal.put(entryOf("unsaved"));
    const again = await open();
    expect(again.all()).toEqual([saved]);
    expect(statSync(join(folder, "saved.json")).mode & 0o777).toBe(0o600);
  });

  it("passes over a torn write and removes it", async () => {
    writeFileSync(join(folder, ".unfinished-r1.json-aabbcc"), '{"target": "r1');
    expect((await open()).all()).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ["is not JSON", "{"],
    ["is no object", "7"],
    ["is no entry", '{"target":"r1"}'],
    ["is no entry of its version", '{"version":1,"target":"r1","session":"s"}'],
    ["has a version that is none", '{"version":"2","target":"r1","session":"s"}'],
    ["is about another target", JSON.stringify(entryOf("r2"))],
  ])("moves a file that %s aside and reports it", async (_why, text) => {
    writeFileSync(join(folder, "r1.json"), text);
    const journal = await open();
    expect(journal.all()).toEqual([]);
    const [left] = readdirSync(folder);
    expect(logged.map(({ message }) => message)).toEqual([
      "a journal file was corrupt and was moved aside; look at it",
    ]);
    expect(logged[0]?.facts).toMatchObject({ movedTo: join(folder, left ?? "") });
    expect(journal.newer.size).toBe(0);
    expect(left).toMatch(/^r1\.json\.corrupt-\d+$/);
    expect(readFileSync(join(folder, left ?? ""), "utf8")).toBe(text);
  });

  it("keeps an entry of a newer version where it is, says what to do, and never writes over it", async () => {
    const text = '{"version":2,"anything":"that a newer Pitstop knows"}';
    writeFileSync(join(folder, "r1.json"), text);
    const journal = await open();
    expect(journal.all()).toEqual([]);
    expect(logged).toEqual([
      {
        facts: { target: "r1", path: join(folder, "r1.json"), version: 2 },
        message:
          "a newer Pitstop wrote this journal entry, which is kept as it is; start that version to free its target",
      },
    ]);
    expect(() => journal.put(entryOf("r1"))).toThrow(
      `A newer Pitstop wrote the site's entry of r1 (${join(folder, "r1.json")}), which this one cannot read; start that version at this site and let it bring r1 home.`,
    );
    await journal.save(entryOf("r1"));
    await journal.remove("r1");
    const other = entryOf("r2");
    journal.put(other);
    await journal.save(other);
    expect(readdirSync(folder)).toEqual(["r1.json", "r2.json"]);
    expect(readFileSync(join(folder, "r1.json"), "utf8")).toBe(text);
  });

  it.each([
    ["without a version", { ...entryOf("r1"), version: undefined }],
    ["of an older version", { ...entryOf("r1"), version: 0 }],
  ])("does not open with an entry %s: the folder is an older Pitstop's", async (_which, entry) => {
    const path = join(folder, "r1.json");
    writeFileSync(path, JSON.stringify(entry));
    await expect(open()).rejects.toMatchObject({
      code: "refused",
      message: `${path} is a journal entry of an older Pitstop, which this one cannot read: end the open sessions with that one, remove ${folder}, and start this one.`,
    });
    expect(readdirSync(folder)).toEqual(["r1.json"]);
  });

  it("does not open with a file that cannot be read, and leaves it where it is", async () => {
    mkdirSync(join(folder, "r1.json"));
    await expect(open()).rejects.toMatchObject({ code: "EISDIR" });
    expect(readdirSync(folder)).toEqual(["r1.json"]);
  });

  it("keeps the four newest corrupt files of a target, and those of others", async () => {
    const old = [1, 2, 3, 4, 5].map((n) => `r1.json.corrupt-${1_700_000_000_000 + n}`);
    for (const name of [...old, "r10.json.corrupt-1600000000000"]) writeFileSync(join(folder, name), "{");
    writeFileSync(join(folder, "r1.json"), "{");
    await open();
    const newest = basename(String(logged[0]?.facts.movedTo));
    expect(readdirSync(folder).sort()).toEqual([...old.slice(2), newest, "r10.json.corrupt-1600000000000"].sort());
  });

  it("saves by settle what a failed save left in memory alone", async () => {
    const journal = await open();
    const entry = entryOf("r1");
    journal.put(entry);
    // A folder in the file's place: the write fails, as on a disk that is full.
    mkdirSync(join(folder, "r1.json", "in-the-way"), { recursive: true });
    await expect(journal.save(entry)).rejects.toThrow();
    rmSync(join(folder, "r1.json"), { recursive: true });
    await journal.settle(entry);
    expect((await open()).all()).toEqual([entry]);
  });

  it("keeps an entry whose file could not be removed, so that its removal is tried again", async () => {
    const journal = await open();
    journal.put(entryOf("r1"));
    mkdirSync(join(folder, "r1.json", "in-the-way"), { recursive: true });
    await expect(journal.remove("r1")).rejects.toThrow();
    expect(journal.get("r1")).not.toBeNull();
    rmSync(join(folder, "r1.json"), { recursive: true });
    await journal.remove("r1");
    expect(journal.get("r1")).toBeNull();
  });

  it("forgets durably, and a save that comes too late brings nothing back", async () => {
    const journal = await open();
    const entry = entryOf("r1");
    journal.put(entry);
    const saving = journal.save(entry);
    await journal.remove("r1");
    await saving;
    await journal.save(entry);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("saves the last of many changes that come at once, in few writes", async () => {
    const journal = await open();
    const entry = entryOf("r1");
    journal.put(entry);
    const saves = Array.from({ length: 100 }, (_, epoch) => {
      entry.ledger.lastEpoch = epoch;
      return journal.save(entry);
    });
    await Promise.all(saves);
    expect((await open()).get("r1")?.ledger.lastEpoch).toBe(99);
  });

  it("says so when it cannot write", async () => {
    const journal = await open();
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

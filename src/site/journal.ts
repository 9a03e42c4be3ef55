import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import { messageOf, PitstopError } from "../domain/errors.js";
import { ensureFolder, syncFolder, UNFINISHED, writeAtomically } from "../stores/atomic.js";
import { Coalesced } from "./coalesced.js";
import { ENTRY_VERSION, SiteEntry } from "./entry.js";

/** Corrupt files that are kept of one target, the newest: for the person who looks at them. A failing disk makes more and more. */
const MAX_CORRUPT = 4;
const SUFFIX = ".json";

interface Slot {
  entry: SiteEntry;
  write: Coalesced;
  /** Number of saves that were asked for, and the last of them that is on disk. They differ after a write that failed. */
  asked: number;
  kept: number;
}

/**
 * The site's memory across the death of its process: one JSON file per target. Entries are plain objects, changed in place;
 * `save` makes the entry's state of that moment, or a later one, durable.
 */
export class Journal {
  readonly #folder: string;
  readonly #log: Pick<Logger, "error">;
  readonly #slots = new Map<string, Slot>();
  readonly #sync: Coalesced;
  /** Targets whose entry a newer Pitstop wrote, each with its file. The journal never changes these files. */
  readonly newer: ReadonlyMap<string, string>;

  private constructor(folder: string, log: Pick<Logger, "error">, newer: ReadonlyMap<string, string>) {
    this.#folder = folder;
    this.#log = log;
    this.newer = newer;
    this.#sync = new Coalesced(() => syncFolder(folder));
  }

  /**
   * Loads the entries that an earlier process left.
   *
   * | file | what is done |
   * |---|---|
   * | an unfinished write | removed: no save of it was acknowledged |
   * | an entry of this version | loaded |
   * | an entry of a newer version | kept as it is, logged, and its target is refused ({@link newer}) |
   * | an entry of an older version, or without one | `refused`: the journal does not open |
   * | anything else | moved aside as corrupt, and logged |
   */
  static async open(folder: string, log: Pick<Logger, "error">): Promise<Journal> {
    await ensureFolder(folder);
    const newer = new Map<string, string>();
    const journal = new Journal(folder, log, newer);
    for (const name of (await readdir(folder)).sort()) {
      if (name.startsWith(UNFINISHED)) await rm(join(folder, name), { force: true });
      else if (name.endsWith(SUFFIX)) await journal.#load(name, newer);
    }
    return journal;
  }

  get(target: string): SiteEntry | null {
    return this.#slots.get(target)?.entry ?? null;
  }

  all(): SiteEntry[] {
    return [...this.#slots.values()].map((slot) => slot.entry);
  }

  /** Adds an entry, or puts it in the place of the target's present one. Not durable before `save`. `conflict` for a target in {@link newer}. */
  put(entry: SiteEntry): void {
    this.#refuseNewer(entry.target);
    const slot = this.#slots.get(entry.target);
    if (slot) slot.entry = entry;
    else this.#slots.set(entry.target, this.#slotOf(entry));
  }

  /** Resolves when the entry is on disk: file and folder fsynced. */
  async save(entry: SiteEntry): Promise<void> {
    const slot = this.#slots.get(entry.target);
    // The entry was closed in the meantime.
    if (slot?.entry !== entry) return;
    const mine = ++slot.asked;
    await slot.write.run();
    slot.kept = Math.max(slot.kept, mine);
  }

  /** Saves again after a save that failed: a state that is in memory only must not count as kept. */
  async settle(entry: SiteEntry): Promise<void> {
    const slot = this.#slots.get(entry.target);
    if (slot && slot.kept < slot.asked) await this.save(entry);
  }

  /** Forgets the target's entry, durably. */
  async remove(target: string): Promise<void> {
    const slot = this.#slots.get(target);
    if (!slot) return;
    this.#slots.delete(target);
    try {
      // A write under way would bring the file back, so the removal runs after it.
      await slot.write.run();
    } catch (error) {
      // The file may still be there, and a later process would load it, so the entry stays here too.
      if (!this.#slots.has(target)) this.#slots.set(target, slot);
      throw error;
    }
  }

  #slotOf(entry: SiteEntry): Slot {
    const slot: Slot = { entry, write: new Coalesced(() => this.#write(slot)), asked: 0, kept: 0 };
    return slot;
  }

  async #write(slot: Slot): Promise<void> {
    const path = join(this.#folder, `${slot.entry.target}.json`);
    const present = this.#slots.get(slot.entry.target);
    if (present === slot) {
      const text = `${JSON.stringify(slot.entry)}\n`;
      await writeAtomically(path, (handle) => handle.writeFile(text), { syncFolder: false });
    } else if (!present) {
      await rm(path, { force: true });
    }
    await this.#sync.run();
  }

  async #load(name: string, newer: Map<string, string>): Promise<void> {
    const path = join(this.#folder, name);
    // A read error (no handle is left, the disk errs) says nothing of the file: moving it aside would lose its target.
    const text = await readFile(path, "utf8");
    const target = name.slice(0, -SUFFIX.length);
    try {
      const value: unknown = JSON.parse(text);
      const version = versionOf(value, target);
      if (version !== null && version > ENTRY_VERSION) {
        newer.set(target, path);
        this.#log.error(
          { target, path, version },
          "a newer Pitstop wrote this journal entry, which is kept as it is; start that version to free its target",
        );
        return;
      }
      if (version !== null && version < ENTRY_VERSION) throw refuseOlder(path, this.#folder);
      const entry = SiteEntry.parse(value);
      if (entry.target !== target) throw new TypeError(`it is about ${entry.target}`);
      this.#slots.set(target, this.#slotOf(entry));
    } catch (error) {
      if (error instanceof PitstopError) throw error;
      const movedTo = `${path}.corrupt-${Date.now()}`;
      await rename(path, movedTo);
      await this.#forgetOldest(`${name}.corrupt-`);
      await syncFolder(this.#folder);
      const reason = messageOf(error).slice(0, 500);
      this.#log.error({ movedTo, reason }, "a journal file was corrupt and was moved aside; look at it");
    }
  }

  #refuseNewer(target: string): void {
    const path = this.newer.get(target);
    if (path === undefined) return;
    throw new PitstopError(
      "conflict",
      `A newer Pitstop wrote the site's entry of ${target} (${path}), which this one cannot read; start that version at this site and let it bring ${target} home.`,
      { facts: { target } },
    );
  }

  /** Sorts by name: each ends with a time of as many digits. */
  async #forgetOldest(prefix: string): Promise<void> {
    const aside = (await readdir(this.#folder)).filter((name) => name.startsWith(prefix)).sort();
    for (const name of aside.slice(0, -MAX_CORRUPT)) await rm(join(this.#folder, name), { force: true });
  }
}

const Versioned = z.object({ version: z.number().int().min(0) });
/** What every entry had before entries had versions. */
const Unversioned = z.object({ version: z.undefined().optional(), target: z.string(), session: z.string() });

/** The version of the target's entry, 0 for one from before versions; null where the value is no entry of any version. */
function versionOf(value: unknown, target: string): number | null {
  const versioned = Versioned.safeParse(value);
  if (versioned.success) return versioned.data.version;
  return Unversioned.safeParse(value).data?.target === target ? 0 : null;
}

const refuseOlder = (path: string, folder: string): PitstopError =>
  new PitstopError(
    "refused",
    `${path} is a journal entry of an older Pitstop, which this one cannot read: end the open sessions with that one, remove ${folder}, and start this one.`,
  );

import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DoneRequest, SessionMessage } from "../domain/agent.js";
import { Name } from "../domain/basics.js";
import { messageOf, PitstopError } from "../domain/errors.js";
import { PowerAction, SessionPlan, TaskResult } from "../domain/session.js";
import { BootSnapshot } from "../domain/snapshot.js";
import { ensureFolder, syncFolder, UNFINISHED, writeAtomically } from "../stores/atomic.js";
import { Coalesced } from "./coalesced.js";
import type { SiteEntry } from "./site.js";

/** Corrupt files that are kept of one target, the newest: for who looks at them. A disk that errs makes them again and again. */
const MAX_CORRUPT = 4;

const ExtentSchema = z.object({ offset: z.number().int(), bytes: z.number().int() });

const SiteMediumSchema = z.object({
  sha256: z.string(),
  slot: ExtentSchema,
  kernel: ExtentSchema,
  lastInitrd: ExtentSchema,
  archive: z.string(),
});

const SiteBootSchema = z.object({
  epoch: z.number().int().min(1),
  wasOff: z.boolean(),
  nonces: z.array(z.object({ nonce: z.string(), mintedAt: z.string(), from: z.string().optional() })),
  mediaSegment: z.string(),
  medium: SiteMediumSchema.nullable().default(null),
  scriptFetchedAt: z.string().nullable(),
  kernelFetchedAt: z.string().nullable(),
  initrdFetchedAt: z.string().nullable(),
  bootId: z.string().nullable(),
  spentNonce: z.string().nullable(),
  helloAt: z.string().nullable(),
  revoked: z.boolean(),
  done: DoneRequest.nullable(),
});

const SiteEntrySchema = z.object({
  target: Name,
  session: z.string(),
  runId: z.string(),
  plan: SessionPlan,
  snapshot: BootSnapshot.nullable(),
  // Compared with the clock: a time that is none would never be over.
  absoluteDeadline: z.string().refine((text) => !Number.isNaN(Date.parse(text)), "not a time"),
  boot: SiteBootSchema.nullable(),
  results: z.record(z.string(), TaskResult),
  ledger: z.object({
    outbox: z.array(SessionMessage),
    offered: z.record(z.string(), z.string()),
    leaseUntil: z.string().nullable(),
    withdrawnAt: z.string().nullable(),
    ownSystemSeenAt: z.string().nullable().optional(),
    voided: z.array(z.string()).optional(),
    lastEpoch: z.number().int(),
    powerActions: z.array(PowerAction).default([]),
  }),
});

/** A journal file that could not be read: it was moved aside, and somebody should look at it. */
export interface CorruptFile {
  movedTo: string;
  reason: string;
}

interface Slot {
  entry: SiteEntry;
  write: Coalesced;
  /** Saves that were asked for, and the last of them that is on disk: a disk that was full leaves the two apart. */
  asked: number;
  kept: number;
}

/**
 * The site's memory across the death of its process: one JSON file per target. Entries are plain objects that their
 * owners change in place; `save` makes the entry's state of that moment, or a later one, durable.
 */
export class Journal {
  readonly #folder: string;
  readonly #slots = new Map<string, Slot>();
  readonly #sync: Coalesced;
  /** Files that were found corrupt at the start. */
  readonly corrupt: CorruptFile[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
    this.#sync = new Coalesced(() => syncFolder(folder));
  }

  /** Loads what an earlier process left. Unfinished writes are removed: nobody was promised anything of them. */
  static async open(folder: string): Promise<Journal> {
    await ensureFolder(folder);
    const journal = new Journal(folder);
    for (const name of (await readdir(folder)).sort()) {
      if (name.startsWith(UNFINISHED)) await rm(join(folder, name), { force: true });
      else if (name.endsWith(".json")) await journal.#load(name);
    }
    return journal;
  }

  get(target: string): SiteEntry | null {
    return this.#slots.get(target)?.entry ?? null;
  }

  all(): SiteEntry[] {
    return [...this.#slots.values()].map((slot) => slot.entry);
  }

  /** Adds an entry, or puts it in the place of the target's present one. Not durable before `save`. */
  put(entry: SiteEntry): void {
    const slot = this.#slots.get(entry.target);
    if (slot) slot.entry = entry;
    else this.#slots.set(entry.target, this.#slotOf(entry));
  }

  /** Resolves when the entry is on disk: file and folder fsynced. */
  async save(entry: SiteEntry): Promise<void> {
    const slot = this.#slots.get(entry.target);
    // An entry that was closed in the meantime has nothing more to keep.
    if (slot?.entry !== entry) return;
    const mine = ++slot.asked;
    await slot.write.run();
    slot.kept = Math.max(slot.kept, mine);
  }

  /** Saves what an earlier save could not: who finds in memory what he wanted to write must not take it for kept. */
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
      // A write that is under way would bring the file back: this one runs after it and removes the file.
      await slot.write.run();
    } catch (error) {
      // The file may still be there, and a later process would believe it: so it is not forgotten here either.
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

  async #load(name: string): Promise<void> {
    const path = join(this.#folder, name);
    // A file that cannot be read now (no handle is left, the disk errs) is not corrupt: who moved it aside would forget its target.
    const text = await readFile(path, "utf8");
    try {
      const entry: SiteEntry = SiteEntrySchema.parse(JSON.parse(text));
      if (`${entry.target}.json` !== name) throw new PitstopError("internal", `it is about ${entry.target}`);
      this.#slots.set(entry.target, this.#slotOf(entry));
    } catch (error) {
      const movedTo = `${path}.corrupt-${Date.now()}`;
      await rename(path, movedTo);
      await this.#forgetOldest(`${name}.corrupt-`);
      await syncFolder(this.#folder);
      this.corrupt.push({ movedTo, reason: messageOf(error).slice(0, 500) });
    }
  }

  /** Their names end with the time, in as many digits each. */
  async #forgetOldest(prefix: string): Promise<void> {
    const aside = (await readdir(this.#folder)).filter((name) => name.startsWith(prefix)).sort();
    for (const name of aside.slice(0, -MAX_CORRUPT)) await rm(join(this.#folder, name), { force: true });
  }
}

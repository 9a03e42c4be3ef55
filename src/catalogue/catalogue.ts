import type { CatalogueDocument, Kind } from "../domain/documents.js";
import type { SessionRecord } from "../domain/record.js";
import type { BootSnapshot } from "../domain/snapshot.js";

export type DocumentOf<K extends Kind> = Extract<CatalogueDocument, { kind: K }>;

/** Targets, images, actions, open boot snapshots and session records. */
export interface Catalogue {
  /** Refuses two names for one machine: same UUID, same MAC address, or same BMC and system (promise 11). */
  apply(document: CatalogueDocument): Promise<"created" | "changed" | "unchanged">;
  get<K extends Kind>(kind: K, name: string): Promise<DocumentOf<K> | null>;
  /** `selector`: labels that must all match. Ordered by name. */
  list<K extends Kind>(kind: K, selector?: Record<string, string>): Promise<DocumentOf<K>[]>;
  /** Refused while something uses it: an action's image, a target with an open snapshot. */
  delete(kind: Kind, name: string): Promise<void>;

  /** Get-or-create (promise 2): while a snapshot of the target is open, that one is returned and nothing is replaced. */
  keepSnapshot(snapshot: BootSnapshot): Promise<BootSnapshot>;
  openSnapshot(target: string): Promise<BootSnapshot | null>;
  openSnapshots(): Promise<BootSnapshot[]>;
  /**
   * Ends the snapshot that `session` took: it, or one that adopted it, has proved the target home, or a person released
   * it. A later session's snapshot stays: a repeated call that comes late must not close that.
   */
  closeSnapshot(target: string, session: string): Promise<void>;

  /** Inserts or replaces by session id. */
  putRecord(record: SessionRecord): Promise<void>;
  getRecord(session: string): Promise<SessionRecord | null>;
  /** Newest first; `limit` is 100 unless told, at most 1000. */
  listRecords(filter: { target?: string; campaign?: string; open?: boolean; limit?: number }): Promise<SessionRecord[]>;

  /**
   * Remembers the answer to an idempotent POST; returns the one that is there. Kept for a day. `conflict`: the key was
   * used for another request, or its first use is under way. An answer that throws is not remembered.
   */
  once(
    key: string,
    fingerprint: string,
    answer: () => Promise<unknown>,
  ): Promise<{ answer: unknown; replayed: boolean }>;
  ping(): Promise<void>;
  /** `tell` gets the name of the embedded database where this stops it. */
  close(tell?: (part: string) => void): Promise<void>;
}

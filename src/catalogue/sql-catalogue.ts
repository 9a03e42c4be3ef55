import type { CatalogueDocument, Kind } from "../domain/documents.js";
import type { SessionRecord } from "../domain/record.js";
import type { BootSnapshot } from "../domain/snapshot.js";
import { once } from "./answers-table.js";
import type { Catalogue, DocumentOf } from "./catalogue.js";
import type { Database } from "./database.js";
import { applyDocument, deleteDocument, getDocument, listDocuments } from "./documents-table.js";
import { openEmbedded } from "./embedded/open.js";
import type { Log } from "./embedded/server.js";
import { migrate } from "./migrations.js";
import { openPostgres } from "./postgres.js";
import * as sessions from "./sessions-table.js";

/**
 * Opens the catalogue, brought to this program's schema: on the server of `databaseUrl`, else on the embedded PostgreSQL
 * server of the folder `data`, which is started where it does not run.
 */
export async function openCatalogue(where: {
  data: string;
  databaseUrl?: string | undefined;
  log?: Log;
  say?: (line: string) => void;
}): Promise<Catalogue> {
  const { data, databaseUrl, log = () => undefined, say } = where;
  return await catalogueOver(
    databaseUrl ? openPostgres(databaseUrl) : await openEmbedded({ data, log, ...(say ? { say } : {}) }),
  );
}

/** Migrates the database and returns the catalogue over it; the database is closed again when that fails. */
export async function catalogueOver(database: Database): Promise<Catalogue> {
  try {
    await migrate(database);
  } catch (error) {
    await database.close().catch(() => {});
    throw error;
  }
  return new SqlCatalogue(database);
}

class SqlCatalogue implements Catalogue {
  readonly #db: Database;

  constructor(database: Database) {
    this.#db = database;
  }

  apply(document: CatalogueDocument) {
    return applyDocument(this.#db, document);
  }
  get<K extends Kind>(kind: K, name: string): Promise<DocumentOf<K> | null> {
    return getDocument(this.#db, kind, name);
  }
  list<K extends Kind>(kind: K, selector?: Record<string, string>): Promise<DocumentOf<K>[]> {
    return listDocuments(this.#db, kind, selector);
  }
  delete(kind: Kind, name: string) {
    return deleteDocument(this.#db, kind, name);
  }

  keepSnapshot(snapshot: BootSnapshot) {
    return sessions.keepSnapshot(this.#db, snapshot);
  }
  openSnapshot(target: string) {
    return sessions.openSnapshot(this.#db, target);
  }
  openSnapshots() {
    return sessions.openSnapshots(this.#db);
  }
  closeSnapshot(target: string, session: string) {
    return sessions.closeSnapshot(this.#db, target, session);
  }

  putRecord(record: SessionRecord) {
    return sessions.putRecord(this.#db, record);
  }
  getRecord(session: string) {
    return sessions.getRecord(this.#db, session);
  }
  listRecords(filter: Parameters<Catalogue["listRecords"]>[0]) {
    return sessions.listRecords(this.#db, filter);
  }

  once(key: string, fingerprint: string, answer: () => Promise<unknown>) {
    return once(this.#db, key, fingerprint, answer);
  }
  async ping() {
    await this.#db.query("select 1");
  }
  close(tell?: (part: string) => void) {
    return this.#db.close(tell);
  }
}

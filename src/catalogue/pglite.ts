import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { messageOf, PitstopError } from "../domain/errors.js";
import type { Database, Sql } from "./database.js";
import { takeLock } from "./lock.js";

/** PostgreSQL in this process, in `<data>/catalogue`; `conflict` while another process has it. */
export async function openPglite(data: string): Promise<Database> {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const release = takeLock(join(data, "catalogue.lock"));
  const folder = join(data, "catalogue");
  try {
    const pg = await PGlite.create(folder);
    return wrap(pg, release);
  } catch (error) {
    release();
    throw new PitstopError("internal", `The catalogue in ${folder} cannot be opened: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** A catalogue that is gone with its process: for tests and rehearsals. */
export async function openMemory(): Promise<Database> {
  return wrap(await PGlite.create(), () => {});
}

function wrap(pg: PGlite, release: () => void): Database {
  return {
    async query<Row>(text: string, params: unknown[] = []) {
      return (await pg.query<Row>(text, params)).rows;
    },
    transaction: (work) =>
      pg.transaction((tx) => {
        const sql: Sql = {
          async query<Row>(text: string, params: unknown[] = []) {
            return (await tx.query<Row>(text, params)).rows;
          },
        };
        return work(sql);
      }),
    async close() {
      await pg.close();
      release();
    },
  };
}

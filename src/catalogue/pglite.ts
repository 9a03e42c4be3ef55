import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { lackOf, messageOf, PitstopError } from "../domain/errors.js";
import type { Database, Sql } from "./database.js";
import { takeLock } from "./lock.js";

/** PostgreSQL in this process, in `<data>/catalogue`; `conflict` while another process has it. */
export async function openPglite(data: string): Promise<Database> {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const release = takeLock(join(data, "catalogue.lock"));
  const folder = join(data, "catalogue");
  try {
    return wrap(await Embedded.open(() => PGlite.create(folder)), release);
  } catch (error) {
    release();
    throw new PitstopError("internal", `The catalogue in ${folder} cannot be opened: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** A catalogue that is gone with its process: for tests and rehearsals. */
export async function openMemory(): Promise<Database> {
  return wrap(await Embedded.open(() => PGlite.create()), () => {});
}

function wrap(embedded: Embedded, release: () => void): Database {
  return {
    query: <Row>(text: string, params: unknown[] = []) =>
      embedded.use(async (pg) => (await pg.query<Row>(text, params)).rows),
    transaction: (work) =>
      embedded.use((pg) =>
        pg.transaction((tx) => {
          const sql: Sql = {
            async query<Row>(text: string, params: unknown[] = []) {
              return (await tx.query<Row>(text, params)).rows;
            },
          };
          return work(sql);
        }),
      ),
    async close() {
      await embedded.close();
      release();
    },
  };
}

/** Class 58 of PostgreSQL's error codes, "system error": a file is missing, or there, or unreadable, against all that it knows. */
const isAboutFiles = (error: unknown): boolean => /^58/.test(String((error as { code?: unknown }).code));

function openedAgain(error: unknown): PitstopError {
  const message = `The catalogue is opened again, for it lost its files (${messageOf(error)}); try again.`;
  return new PitstopError("unreachable", message, { cause: error });
}

/**
 * One PGlite, opened again where it no longer knows its own files: its file system in memory goes on believing in a file that could not
 * be made while the disk was full or no file handle was left, and then each write that needs the file fails for ever. What is on disk is
 * as PostgreSQL left it.
 */
class Embedded {
  private constructor(
    private readonly make: () => Promise<PGlite>,
    private now: Promise<PGlite>,
  ) {}

  static async open(make: () => Promise<PGlite>): Promise<Embedded> {
    const now = make();
    await now;
    return new Embedded(make, now);
  }

  /** The work that meets the trouble fails; what comes after it waits for the new one. */
  async use<T>(work: (pg: PGlite) => Promise<T>): Promise<T> {
    const mine = this.now;
    try {
      return await work(await mine);
    } catch (error) {
      const opened = await mine.then(
        () => true,
        () => false,
      );
      const lost = !opened || isAboutFiles(error);
      if (this.now === mine && lost) this.now = this.again(mine);
      throw lackOf(error) ?? (lost ? openedAgain(error) : error);
    }
  }

  async close(): Promise<void> {
    await (await this.now).close();
  }

  /** What the old one cannot write on its way out, its log has. */
  private again(old: Promise<PGlite>): Promise<PGlite> {
    const next = old
      .then((pg) => pg.close())
      .catch(() => undefined)
      .then(this.make);
    // Told to whoever uses it.
    next.catch(() => undefined);
    return next;
  }
}

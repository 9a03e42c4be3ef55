import pg from "pg";
import { lackOf, messageOf, PitstopError } from "../domain/errors.js";
import type { Database, Sql } from "./database.js";
import type { Connection } from "./embedded/server.js";

/** Both in milliseconds. A catalogue query is a few rows; one that takes longer is lost. */
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 15_000;
const MAX_CONNECTIONS = 10;

/** What a message calls the server, and what its reader can do where it does not answer. */
interface Naming {
  name: string;
  remedy: string;
}
const NAMED_BY_URL: Naming = {
  name: "The database of DATABASE_URL",
  remedy: "see that PostgreSQL runs and can be reached",
};
const EMBEDDED: Naming = {
  name: "The database of PITSTOP_DATA",
  remedy: "it is started again by itself, and database/server.log says what happened",
};

/**
 * A PostgreSQL server, by its URL or as the embedded one's connection. Connections are made when they are needed, so a
 * database that is away makes each call `unreachable` and is used again when it is back. The URL's password appears in
 * no message.
 */
export function openPostgres(where: string | Connection): Database {
  const naming = typeof where === "string" ? NAMED_BY_URL : EMBEDDED;
  const tell = (error: unknown) => explained(error, naming);
  const pool = new pg.Pool({
    ...(typeof where === "string" ? { connectionString: where } : where),
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 5_000,
    application_name: "pitstop",
  });
  // A connection that breaks is replaced at the next use, idle or in use; without a listener it would end the process.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  const run = async <Row>(client: pg.Pool | pg.PoolClient, text: string, params: unknown[]): Promise<Row[]> => {
    try {
      return (await client.query(text, params)).rows as Row[];
    } catch (error) {
      throw tell(error);
    }
  };
  return {
    query: <Row>(text: string, params: unknown[] = []) => run<Row>(pool, text, params),
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw tell(error);
      });
      const sql: Sql = { query: <Row>(text: string, params: unknown[] = []) => run<Row>(client, text, params) };
      let broken: Error | undefined;
      try {
        await sql.query("begin");
        const result = await work(sql);
        await sql.query("commit");
        return result;
      } catch (error) {
        await sql.query("rollback").catch((again: unknown) => {
          broken = again instanceof Error ? again : new Error(String(again));
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}

/**
 * Errors with an SQLSTATE of class 08, 53, 57 or 58, or without any (the socket's), are the way to the server or what its
 * host lacks, and may pass; the rest are returned as they are.
 */
function explained(error: unknown, { name, remedy }: Naming): unknown {
  const state = error instanceof pg.DatabaseError ? (error.code ?? "") : null;
  if (state === "28P01" || state === "28000") {
    return new PitstopError("unauthorized", `${name} refuses its user or password; correct it.`, { cause: error });
  }
  if (state === "3D000") {
    return new PitstopError("invalid", `${name} does not exist on its server; create it.`, { cause: error });
  }
  if (state !== null && !/^(08|53|57|58)/.test(state)) return error;
  const why = messageOf(error) || String((error as { code?: unknown }).code);
  return (
    lackOf(error) ?? new PitstopError("unreachable", `${name} does not answer (${why}); ${remedy}.`, { cause: error })
  );
}

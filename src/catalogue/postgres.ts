import pg from "pg";
import { messageOf, PitstopError } from "../domain/errors.js";
import type { Database, Sql } from "./database.js";

/** Both in milliseconds. A catalogue query is a few rows; one that takes longer is lost. */
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 15_000;
const MAX_CONNECTIONS = 10;

/**
 * A PostgreSQL server. Connections are made when they are needed, so a database that is away makes each call
 * `unreachable` and is used again when it is back. The URL's password appears in no message.
 */
export function openPostgres(url: string): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 5_000,
    application_name: "pitstop",
  });
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on("error", () => {});
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

/** Errors with an SQLSTATE of class 08, 53 or 57, or without any (the socket's), are the way to the server; the rest pass. */
function tell(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  const state = typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : null;
  if (state === "28P01" || state === "28000") {
    return new PitstopError("unauthorized", "The database refuses the user or password of DATABASE_URL; correct it.", {
      cause: error,
    });
  }
  if (state === "3D000") {
    return new PitstopError("invalid", "The database that DATABASE_URL names does not exist; create it.", {
      cause: error,
    });
  }
  if (state !== null && !/^(08|53|57)/.test(state)) return error;
  return new PitstopError(
    "unreachable",
    `The database of DATABASE_URL does not answer (${messageOf(error) || String(code)}); see that PostgreSQL runs and can be reached.`,
    { cause: error },
  );
}

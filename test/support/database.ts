import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import { postmasterOf } from "../../src/catalogue/embedded/cluster.js";
import { type EmbeddedServer, ensureServer } from "../../src/catalogue/embedded/server.js";
import { openPostgres } from "../../src/catalogue/postgres.js";
import { catalogueOver } from "../../src/catalogue/sql-catalogue.js";

/**
 * One PostgreSQL server for all suites of a run, and a database each. The first suite that asks starts it in the folder
 * that database-setup.ts has named; that one stops it after the last suite. Its writes reach no disk, for speed.
 */
let server: Promise<EmbeddedServer> | null = null;
export const sharedServer = (): Promise<EmbeddedServer> => {
  const dir = process.env.PITSTOP_TEST_DATABASE ?? join(tmpdir(), `pitstop-tests-${process.pid}`);
  server ??= ensureServer({
    dir,
    log: () => undefined,
    settings: { fsync: "off", full_page_writes: "off", max_connections: "300" },
  });
  return server;
};

/** The URL of an empty database of its own. */
export async function testDatabase(): Promise<string> {
  const { connection } = await sharedServer();
  const name = `test_${randomBytes(8).toString("hex")}`;
  const client = new pg.Client({ ...connection });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  return `postgres://${connection.user}@localhost/${name}?host=${encodeURIComponent(connection.host)}&port=${connection.port}`;
}

/** A catalogue in a database of its own. */
export const openTestCatalogue = async (): Promise<Catalogue> =>
  await catalogueOver(openPostgres(await testDatabase()));

/** The process of the embedded database in a state folder; null where none was started, or it was stopped. */
export function databasePid(data: string): number | null {
  return postmasterOf(join(data, "database", "data"));
}

/** kill -9 of the embedded database in a state folder, where one runs. */
export function killDatabase(data: string): void {
  const pid = databasePid(data);
  if (pid === null) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It had ended.
  }
}

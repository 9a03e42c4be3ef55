import { existsSync } from "node:fs";
import { join } from "node:path";
import { PitstopError } from "../../domain/errors.js";
import type { Database } from "../database.js";
import { openPostgres } from "../postgres.js";
import { ensureServer, type Log } from "./server.js";

/** Opens the embedded PostgreSQL server in `<data>/database`. `refused` for a folder with PGlite's catalogue. */
export async function openEmbedded(options: {
  data: string;
  log: Log;
  say?: (line: string) => void;
}): Promise<Database> {
  const { data, ...rest } = options;
  refusePglite(data);
  const server = await ensureServer({ dir: join(data, "database"), ...rest });
  const database = openPostgres(server.connection);
  return {
    ...database,
    async close(tell) {
      await database.close();
      await server.close(tell);
    },
  };
}

/** Before the embedded server there was PGlite, whose files no other program reads. */
export function refusePglite(data: string): void {
  const old = join(data, "catalogue");
  if (!existsSync(join(old, "PG_VERSION")) || existsSync(join(data, "database", "data"))) return;
  throw new PitstopError(
    "refused",
    `${old} is the catalogue of an older Pitstop, which this one cannot read: end the open sessions with that one, keep the folder as a backup elsewhere, start this one, and apply your documents again.`,
  );
}

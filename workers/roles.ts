import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../src/config.js";
import { PitstopError } from "../src/domain/errors.js";

/**
 * Refuses, before anything is opened, roles that cannot be had by a process of their own with these settings.
 * `hasTemporal`: Temporal's own settings name a server.
 */
export function refuseUnfitRoles(
  config: Pick<Config, "PITSTOP_ROLES" | "PITSTOP_DATA" | "DATABASE_URL">,
  hasTemporal: boolean,
): void {
  const roles = config.PITSTOP_ROLES;
  const [api, sessions] = [roles.includes("api"), roles.includes("sessions")];
  const database = join(config.PITSTOP_DATA, "database");
  if (api && !sessions && !config.DATABASE_URL && !existsSync(database)) {
    throw refuse(
      `the roles api and sessions share the database, and ${database} is not there`,
      "start the process of the sessions first and give both the same PITSTOP_DATA, or set DATABASE_URL",
    );
  }
  if (!sessions && !hasTemporal) {
    throw refuse(
      `without the role sessions no Temporal server is started (this process has ${roles.join(", ")})`,
      "set TEMPORAL_ADDRESS to the server that the sessions use, which their process prints",
    );
  }
  const store = join(config.PITSTOP_DATA, "objects");
  if (!api && !sessions && !existsSync(store)) {
    throw refuse(
      `a site by itself shares the operations server's store of scripts, findings and logs, and ${store} is not there`,
      "start the operations server first, and give the site the same PITSTOP_DATA",
    );
  }
}

const refuse = (why: string, remedy: string) =>
  new PitstopError("refused", `These roles cannot run: ${why}; ${remedy}.`);

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf } from "../../domain/errors.js";
import { chooseAccount } from "./account.js";
import { isServerOf, majorOf, postmasterOf } from "./cluster.js";
import { refusePglite } from "./open.js";
import { findPrograms } from "./programs.js";
import { socketFolder } from "./server.js";

/** What `pitstop doctor` tells of the embedded database in `<data>/database`; changes nothing. */
export async function lookAtEmbedded(data: string): Promise<{ ok: boolean; detail: string }> {
  const dir = resolve(data, "database");
  const folder = join(dir, "data");
  try {
    refusePglite(data);
    const made = existsSync(join(folder, "PG_VERSION"));
    const programs = await findPrograms(made ? majorOf(folder) : undefined);
    const account = await chooseAccount(programs, existsSync(dir) ? dir : "/");
    const way = account.prefix[0] ? `, started by ${account.prefix[0]}` : "";
    const program = `PostgreSQL ${programs.major} (${programs.postgres}${way})`;
    const pid = postmasterOf(folder);
    if (pid !== null && isServerOf(pid, dir)) {
      return { ok: true, detail: `${program} runs as process ${pid}; psql -h ${socketFolder(dir)} -U pitstop pitstop` };
    }
    return { ok: true, detail: `${program} does not run; pitstop serve ${made ? "starts" : "makes and starts"} it` };
  } catch (error) {
    return { ok: false, detail: messageOf(error) };
  }
}

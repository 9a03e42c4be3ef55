import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { freePort } from "../support/free-port.js";

const ROOT = "/usr/lib/postgresql";

/** The folder of Debian's PostgreSQL programs, newest version first; null where none is installed. */
export const postgresBin = (): string | null => {
  if (!existsSync(ROOT)) return null;
  const versions = readdirSync(ROOT).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(ROOT, version, "bin")).find((bin) => existsSync(join(bin, "postgres"))) ?? null;
};

/** A PostgreSQL server of our own in a temporary folder, on a port of loopback that was free. */
export async function startPostgres(bin: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "pitstop-pg-"));
  const who = serverUser();
  if (who.uid !== undefined) chownSync(folder, who.uid, who.gid ?? who.uid);
  execFileSync(join(bin, "initdb"), ["-D", join(folder, "data"), "-U", "pitstop", "-A", "trust", "-N", "-E", "UTF8"], {
    ...who,
    cwd: folder,
    stdio: "ignore",
  });
  const port = await freePort();
  const server = spawn(
    join(bin, "postgres"),
    ["-D", join(folder, "data"), "-h", "127.0.0.1", "-p", String(port), "-k", folder, "-c", "fsync=off"],
    { ...who, cwd: folder, stdio: "ignore" },
  );
  const url = `postgres://pitstop@127.0.0.1:${port}/postgres`;
  await untilReady(url, server);
  return {
    url,
    stop: async () => {
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGINT");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root: then it runs as the user that Debian made for it. */
function serverUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }).trim());
  return { uid: id("-u"), gid: id("-g") };
}

async function untilReady(url: string, server: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100 && server.exitCode === null; attempt++) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await sleep(100);
    }
  }
  throw new Error("PostgreSQL did not start");
}

import { spawn } from "node:child_process";
import { chownSync, closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";
import { runsAs } from "../../processes.js";
import { type Account, chooseAccount } from "./account.js";
import { findPrograms, type Programs } from "./programs.js";

/** A data folder of PostgreSQL ("cluster" is PostgreSQL's word), and the server program of its version. */
export interface Cluster {
  /** Starts the server with these settings, in a process group of its own: a Ctrl-C meant for us must not reach it. */
  start(settings: Record<string, string>): Child;
}

export interface Child {
  /** Null: the program could not be spawned. */
  pid: number | null;
  /** Why it could not be spawned, once that is known. */
  failure(): string | null;
}

const INITDB_TIMEOUT_MS = 5 * 60_000;

/**
 * Settings for a catalogue of some thousand rows. `fsync`, `full_page_writes` and `synchronous_commit` keep their
 * default, on: what was acknowledged survives a power cut. Ten connections a process, and room for four processes.
 */
const SETTINGS: Record<string, string> = {
  listen_addresses: "",
  unix_socket_permissions: "0600",
  max_connections: "50",
  shared_buffers: "16MB",
  max_wal_size: "128MB",
  min_wal_size: "32MB",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_worker_processes: "0",
  max_parallel_workers: "0",
  autovacuum_max_workers: "1",
  jit: "off",
  huge_pages: "off",
  log_timezone: "UTC",
  timezone: "UTC",
  cluster_name: "pitstop",
};

/** Opens the data folder below `dir`, made first where there is none. */
export async function openCluster(dir: string, say: (line: string) => void): Promise<Cluster> {
  const data = join(dir, "data");
  const made = existsSync(join(data, "PG_VERSION"));
  const programs = await findPrograms(made ? majorOf(data) : undefined);
  const account = await chooseAccount(programs, dir);
  if (!made) {
    say("making the database");
    await initialise(dir, programs, account);
  }
  return {
    start: (settings) => {
      const before = postmasterOf(data);
      // Its number was given to another program since, which PostgreSQL would take for a living server.
      if (before !== null && !isServerOf(before, dir)) rmSync(join(data, "postmaster.pid"), { force: true });
      ensureOwner(data, account.uid ?? process.getuid?.() ?? null);
      return spawnServer(dir, programs, account, { ...SETTINGS, ...settings });
    },
  };
}

/** Made beside its place and renamed, so that a process that dies midway leaves no half data folder. */
async function initialise(dir: string, programs: Programs, account: Account): Promise<void> {
  for (const name of readdirSync(dir)) {
    if (name.startsWith("data.new-")) rmSync(join(dir, name), { recursive: true, force: true });
  }
  const draft = join(dir, `data.new-${process.pid}`);
  const [command = "", ...rest] = [
    ...account.prefix,
    ...[programs.initdb, "-D", draft, "-U", "pitstop", "-E", "UTF8", "--locale=C", "--data-checksums"],
    // Who may enter the socket's folder is who may connect: this user, and root.
    ...["-A", "trust", "--wal-segsize=4", "--no-instructions"],
  ];
  const run = await execa(command, rest, {
    cwd: dir,
    reject: false,
    all: true,
    timeout: INITDB_TIMEOUT_MS,
    extendEnv: false,
    // No words in the user's language in what we quote.
    env: bareEnvironment({ LC_ALL: "C" }),
  });
  if (run.exitCode !== 0) {
    rmSync(draft, { recursive: true, force: true });
    const why = (run.all ?? "").trim().split("\n").slice(-2).join(" ") || run.message;
    throw new PitstopError("unreachable", `The database in ${dir} could not be made: ${why}`);
  }
  await rename(draft, join(dir, "data"));
}

function spawnServer(dir: string, programs: Programs, account: Account, settings: Record<string, string>): Child {
  const output = openSync(join(dir, "server.log"), "a", 0o600);
  let failure: string | null = null;
  try {
    const words = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const [command = "", ...rest] = [...account.prefix, programs.postgres, "-D", join(dir, "data"), ...words];
    const child = spawn(command, rest, {
      cwd: dir,
      detached: true,
      stdio: ["ignore", output, output],
      env: bareEnvironment({ LC_ALL: "C" }),
    });
    child.once("error", (error) => {
      failure = error.message;
    });
    child.unref();
    return { pid: child.pid ?? null, failure: () => failure };
  } finally {
    // The server has its own by now. Kept here, each restart would cost a file handle.
    closeSync(output);
  }
}

/** A folder that was made as another user (root inside and outside a container) changes hands while no server runs. */
function ensureOwner(path: string, uid: number | null): void {
  if (uid === null || process.getuid?.() !== 0 || lstatSync(path).uid === uid) return;
  const give = (entry: string) => {
    const facts = lstatSync(entry);
    if (facts.isDirectory()) for (const name of readdirSync(entry)) give(join(entry, name));
    if (!facts.isSymbolicLink()) chownSync(entry, uid, uid);
  };
  give(path);
}

/** The process id in a data folder's `postmaster.pid`, which outlives a kill; null where there is none. */
export const postmasterOf = (data: string): number | null => firstNumber(join(data, "postmaster.pid"));

/** Whether a process is the server of the folder `dir`. */
export const isServerOf = (pid: number, dir: string): boolean =>
  runsAs(pid, ["-D", join(dir, "data"), "cluster_name=pitstop"]);

/** The major version that made a data folder. */
export function majorOf(data: string): number {
  const major = firstNumber(join(data, "PG_VERSION"));
  if (major === null) {
    throw new PitstopError("internal", `${data}/PG_VERSION has no version in it; restore the folder from a backup.`);
  }
  return major;
}

/** The number in the first line of a small file; null where the file is not there or has none. */
function firstNumber(file: string): number | null {
  try {
    const number = Number.parseInt(readFileSync(file, "utf8"), 10);
    return Number.isInteger(number) ? number : null;
  } catch {
    return null;
  }
}

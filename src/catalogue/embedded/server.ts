import { createHash } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { messageOf, PitstopError } from "../../domain/errors.js";
import { takeLock } from "../../process-lock.js";
import { boundLog, lastLine, until } from "../../processes.js";
import { type Cluster, isServerOf, openCluster, postmasterOf } from "./cluster.js";
import { Sharers } from "./sharers.js";

/** How a client reaches the server: a Unix socket, in a folder that only its owner may enter. */
export interface Connection {
  host: string;
  port: number;
  user: string;
  database: string;
}

export interface EmbeddedServer {
  connection: Connection;
  /** The server's process; null while it is being started again. */
  pid(): number | null;
  /** Leaves the server to the other processes that use it. The last one stops it, and tells its name. */
  close(tell?: (part: string) => void): Promise<void>;
}

export type Log = (message: string, facts: object) => void;

/** Part of the socket's name; nothing listens on TCP. */
const PORT = 5432;
const NAME = "pitstop";
/** `sun_path` of unix(7) is 108 bytes with its NUL; macOS has 104. */
const MAX_SOCKET_PATH = process.platform === "darwin" ? 103 : 107;

/** Recovery after a power cut replays at most `max_wal_size` (128 MB), which a slow disk reads in a minute. */
const READY_MS = 5 * 60_000;
/** A server that ends as it starts may have met the last breath of the one before it. */
const FIRST_STARTS = 5;
const RETRY_MS = 1_000;
const WATCH_MS = 1_000;
/** A fast shutdown writes what is in 16 MB of buffers. */
const STOP_MS = 20_000;
/** Longer than a start: another process may be starting the server. */
const LOCK_MS = READY_MS + 30_000;

/**
 * Ensures that the PostgreSQL server of the folder `dir` runs, and starts it again when it dies. A server that an earlier
 * process left running is adopted; several processes on this machine may share it. `refused`: it cannot run here;
 * `unreachable`: it did not start.
 */
export async function ensureServer(options: {
  dir: string;
  log: Log;
  say?: (line: string) => void;
  /** Over the settings of `cluster.ts`, for tests. */
  settings?: Record<string, string>;
}): Promise<EmbeddedServer> {
  const { dir, log, say = () => undefined, settings = {} } = options;
  const server = new Server(resolve(dir), log, say, settings);
  await server.open();
  return server;
}

class Server implements EmbeddedServer {
  readonly connection: Connection;
  readonly #dir: string;
  readonly #log: Log;
  readonly #say: (line: string) => void;
  readonly #settings: Record<string, string>;
  readonly #sharers: Sharers;
  #cluster: Cluster | null = null;
  #pid: number | null = null;
  readonly #closed = new AbortController();
  #watch: Promise<void> = Promise.resolve();

  constructor(dir: string, log: Log, say: (line: string) => void, settings: Record<string, string>) {
    this.#dir = dir;
    this.#settings = settings;
    this.#log = log;
    this.#say = say;
    this.#sharers = new Sharers(join(dir, "users"));
    this.connection = { host: socketFolder(dir), port: PORT, user: NAME, database: NAME };
  }

  pid(): number | null {
    return this.#pid;
  }

  async open(): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    // A restored backup may have other rights.
    chmodSync(this.#dir, 0o700);
    await this.#alone(async () => {
      this.#sharers.join();
      await this.#ensure();
    }).catch((error: unknown) => {
      this.#sharers.leave();
      throw error;
    });
    this.#watch = this.#watchOver();
  }

  async close(tell?: (part: string) => void): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    await this.#watch;
    await this.#alone(async () => {
      this.#sharers.leave();
      const others = this.#sharers.others();
      const pid = this.#runningPid();
      if (others.length > 0) this.#log("left the database to the other processes that use it", { others });
      else if (pid !== null) {
        tell?.(`the database (process ${pid})`);
        await this.#stop(pid);
      }
    });
  }

  /** Starts, adoptions and stops take turns over all processes of this machine. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + LOCK_MS;
    for (;;) {
      let release: () => void;
      try {
        release = takeLock(join(this.#dir, "lock"), "The database", "another PITSTOP_DATA or a DATABASE_URL");
      } catch (error) {
        if (!(error instanceof PitstopError) || performance.now() > deadline) throw error;
        await sleep(50);
        continue;
      }
      try {
        return await work();
      } finally {
        release();
      }
    }
  }

  /** The postmaster of this folder that runs now, whoever started it. */
  #runningPid(): number | null {
    const pid = postmasterOf(join(this.#dir, "data"));
    return pid !== null && this.#isOurs(pid) ? pid : null;
  }

  #isOurs(pid: number): boolean {
    return isServerOf(pid, this.#dir);
  }

  async #ensure(): Promise<void> {
    this.#cluster ??= await openCluster(this.#dir, this.#say);
    const running = this.#runningPid();
    if (running !== null && (await this.#becomesReady(running))) {
      if (this.#pid !== running) this.#log("adopted the running database", { pid: running });
      this.#pid = running;
      return;
    }
    for (let tries = 1; ; tries++) {
      const where = { port: String(PORT), unix_socket_directories: ensureSocketFolder(this.connection.host) };
      const child = this.#cluster.start({ ...where, ...this.#settings });
      this.#pid = child.pid;
      if (child.pid !== null && (await this.#becomesReady(child.pid))) break;
      this.#pid = null;
      if (child.pid !== null && this.#isOurs(child.pid)) await this.#stop(child.pid);
      if (tries === FIRST_STARTS) throw this.#didNotStart(child.failure());
      await sleep(RETRY_MS);
    }
    await createDatabase(this.connection);
  }

  /** Whether the server answers; false as soon as its process has ended. */
  async #becomesReady(pid: number): Promise<boolean> {
    let answers = false;
    await until(async () => {
      answers = await isReady(this.connection);
      return answers || !this.#isOurs(pid);
    }, READY_MS);
    return answers && this.#isOurs(pid);
  }

  /** "Fast", then "immediate" shutdown; the next start replays the log after the second. */
  async #stop(pid: number): Promise<void> {
    for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
      if (!this.#isOurs(pid)) break;
      process.kill(pid, signal);
      if (await until(() => !this.#isOurs(pid), STOP_MS)) break;
    }
    this.#pid = null;
  }

  async #watchOver(): Promise<void> {
    const file = join(this.#dir, "server.log");
    const { signal } = this.#closed;
    for (;;) {
      await sleep(WATCH_MS, undefined, { ref: false, signal }).catch(() => undefined);
      if (signal.aborted) return;
      await boundLog(file).catch((error: unknown) => this.#log("the database's log cannot be cut", said(error)));
      if (this.#pid !== null && this.#isOurs(this.#pid)) continue;
      this.#log("the database is gone; starting it again", { pid: this.#pid });
      this.#pid = null;
      await this.#alone(() => this.#ensure()).catch((error: unknown) =>
        this.#log("the database did not start", said(error)),
      );
    }
  }

  #didNotStart(failure: string | null): PitstopError {
    const file = join(this.#dir, "server.log");
    return new PitstopError(
      "unreachable",
      `The database of PITSTOP_DATA did not start; ${file} says why${failure ? `: ${failure}` : lastLine(file)}.`,
    );
  }
}

const said = (error: unknown) => ({ error: messageOf(error) });

/** The database's own folder, or a short one below /tmp where the socket's path would be longer than the system allows. */
export function socketFolder(dir: string): string {
  const socket = join(dir, `.s.PGSQL.${PORT}`);
  if (Buffer.byteLength(socket) <= MAX_SOCKET_PATH) return dir;
  const digest = createHash("sha256").update(dir).digest("hex").slice(0, 16);
  return `/tmp/pitstop-${process.getuid?.() ?? 0}-${digest}`;
}

/** Others may write to /tmp: a folder that is not ours alone is refused. */
function ensureSocketFolder(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const facts = lstatSync(folder);
  if (!facts.isDirectory() || facts.uid !== process.getuid?.() || (facts.mode & 0o077) !== 0) {
    throw new PitstopError(
      "refused",
      `The folder ${folder} for the database's socket is not this user's alone; remove it, or give PITSTOP_DATA a shorter path.`,
    );
  }
  return folder;
}

async function isReady({ host, port, user }: Connection): Promise<boolean> {
  if (!existsSync(join(host, `.s.PGSQL.${port}`))) return false;
  const client = new pg.Client({ host, port, user, database: "postgres", connectionTimeoutMillis: 2_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createDatabase({ host, port, user, database }: Connection): Promise<void> {
  const client = new pg.Client({ host, port, user, database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  try {
    const found = await client.query("select 1 from pg_database where datname = $1", [database]);
    if (found.rows.length === 0) await client.query(`create database ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

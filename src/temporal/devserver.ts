import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { connect as tcpConnect } from "node:net";
import { join } from "node:path";
import { bareEnvironment } from "../domain/environment.js";
import { PitstopError } from "../domain/errors.js";
import { freePort, isFree } from "../free-port.js";
import { boundLog, commandLine, lastLine, runsAs, until } from "../processes.js";
import type { TemporalAddress } from "./connect.js";

/**
 * Raised from the stock 20 per second, which costs 50 ms for each hop of a task. Say the same to those who bring
 * their own server.
 */
const POLL_RPS = 2000;
const READY_MS = 30_000;
/** How often a server that ends as it starts is started before its operator is told. */
const FIRST_STARTS = 3;
const WATCH_MS = 1_000;

export interface DevServer extends TemporalAddress {
  uiUrl: string;
  pid(): number | null;
  /** Ends the server and the watch over it. */
  stop(): Promise<void>;
  /** Leaves the server running for the next process that adopts it. */
  leave(): void;
}

interface Note {
  pid: number;
  port: number;
  uiPort: number;
}

/**
 * Ensures that a dev server with a database file runs, and starts it again when it dies. One that an earlier process
 * of ours left running is adopted: its sessions go on. Its addresses stay the same over restarts.
 */
export async function ensureDevServer(options: {
  program: () => Promise<string>;
  dir: string;
  log: (message: string, facts: object) => void;
}): Promise<DevServer> {
  const { dir, log } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const noteFile = join(dir, "server.json");
  const logFile = join(dir, "server.log");
  const before = readNote(noteFile);
  const running = before && isOurs(before.pid, dir) ? before.pid : findOurs(dir);
  const listens = before ?? (running === null ? null : portsOf(running));
  // The ports of last time, unless somebody else has taken one since.
  const still = async (port: number | undefined) =>
    port !== undefined && (running !== null || (await isFree(port))) ? port : await freePort();
  let port = await still(listens?.port);
  let uiPort = await still(listens?.uiPort);
  const note = (pid: number) => keepNote(noteFile, { pid, port, uiPort });
  // One that was only just started does not answer yet; a second one beside it would want the same ports and database.
  const ready = running !== null && (await until(() => answers(port), READY_MS));
  if (running !== null && !ready) process.kill(running, "SIGKILL");
  let pid: number | null = ready ? running : null;
  let child: ChildProcess | null = null;
  let stopped = false;

  const start = async () => {
    const program = await options.program();
    // Before there is a server: whoever comes after a death at this moment finds it at these ports.
    await note(0);
    // Appended to, so that the server writes on at the beginning of a log that was cut meanwhile.
    const output = openSync(logFile, "a");
    try {
      child = spawn(program, serverArguments(dir, port, uiPort), {
        // A process group of its own: a Ctrl-C meant for us must not take the sessions' memory first.
        detached: true,
        stdio: ["ignore", output, output],
        env: bareEnvironment(),
      });
    } finally {
      // The server has its own by now. Kept here, each restart of a server that dies often would cost a file handle.
      closeSync(output);
    }
    // One that cannot be spawned (no handle, no memory) is told here alone: unheard, it would end this process.
    child.once("error", (error) => log("the Temporal dev server could not be spawned", { error: error.message }));
    pid = child.pid ?? null;
    child.unref();
    await note(pid ?? 0);
    const ready = async () => (await answers(port)) || child?.exitCode !== null;
    await until(ready, READY_MS);
    // What answers at the port of one that has ended is somebody else.
    if (child.exitCode !== null || !(await answers(port))) throw didNotStart(dir, child.exitCode);
  };

  if (pid === null) {
    // One that ends at once may have met the last breath of the one before it, at its ports or its database; or somebody
    // else took a port between the look at it and the server's start.
    for (let tries = 1; pid === null; tries++) {
      try {
        await start();
      } catch (error) {
        if (tries === FIRST_STARTS) throw error;
        // One that never answered must not stay beside the next one, at the same database.
        if (pid !== null && isOurs(pid, dir)) process.kill(pid, "SIGKILL");
        pid = null;
        port = await still(port);
        uiPort = await still(uiPort);
      }
    }
  } else {
    await note(pid);
    log("adopted the running Temporal dev server", { pid, port });
  }

  const watch = (async () => {
    while (!stopped) {
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS).unref());
      await boundLog(logFile).catch((error: unknown) => log("Temporal's log cannot be cut", { error: String(error) }));
      if (stopped || (pid !== null && isOurs(pid, dir))) continue;
      log("the Temporal dev server is gone; starting it again", { pid });
      await start().catch((error: unknown) => log("the Temporal dev server did not start", { error: String(error) }));
    }
  })();
  void watch;

  return {
    address: `127.0.0.1:${port}`,
    namespace: "default",
    configured: false,
    uiUrl: `http://127.0.0.1:${uiPort}`,
    pid: () => pid,
    leave: () => {
      stopped = true;
    },
    stop: async () => {
      stopped = true;
      if (pid !== null && isOurs(pid, dir)) {
        process.kill(pid, "SIGTERM");
        const ended = await until(() => pid === null || !isOurs(pid, dir), 10_000);
        if (!ended && pid !== null && isOurs(pid, dir)) process.kill(pid, "SIGKILL");
      }
      await note(0);
    },
  };
}

/** What its operator can do about a server that ended, or is there and says nothing. */
function didNotStart(dir: string, exit: number | null): PitstopError {
  const what = exit === null ? `did not answer within ${READY_MS / 1_000} s` : `ended with ${exit} as it started`;
  return new PitstopError(
    "unreachable",
    `The Temporal dev server ${what}; ${join(dir, "server.log")} says why${lastLine(join(dir, "server.log"))}.`,
  );
}

function serverArguments(dir: string, port: number, uiPort: number): string[] {
  return [
    ...["server", "start-dev", "--db-filename", join(dir, "temporal.db"), "--ip", "127.0.0.1"],
    ...["--port", String(port), "--ui-port", String(uiPort), "--log-level", "error"],
    ...["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"],
    ...["--dynamic-config-value", `history.transferProcessorMaxPollRPS=${POLL_RPS}`],
    ...["--dynamic-config-value", `history.timerProcessorMaxPollRPS=${POLL_RPS}`],
  ];
}

function readNote(file: string): Note | null {
  if (!existsSync(file)) return null;
  try {
    const note = JSON.parse(readFileSync(file, "utf8")) as Note;
    return Number.isInteger(note.port) && Number.isInteger(note.uiPort) ? note : null;
  } catch {
    return null;
  }
}

/** Whole or not at all, whenever this process dies: without it nobody would know of the server that runs. */
async function keepNote(file: string, note: Note): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(note), { flush: true });
  await rename(`${file}.new`, file);
}

/** A server of this folder that is in no note: whoever started it died before it could say so. */
function findOurs(dir: string): number | null {
  if (!existsSync("/proc/self")) return null;
  const pids = readdirSync("/proc").map(Number);
  return pids.find((pid) => Number.isInteger(pid) && isOurs(pid, dir)) ?? null;
}

/** Where a running server was told to listen. */
function portsOf(pid: number): Pick<Note, "port" | "uiPort"> {
  const words = commandLine(pid);
  const after = (option: string) => Number(words[words.indexOf(option) + 1]);
  return { port: after("--port"), uiPort: after("--ui-port") };
}

const isOurs = (pid: number, dir: string): boolean => runsAs(pid, ["start-dev", join(dir, "temporal.db")]);

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ port, host: "127.0.0.1", timeout: 1_000 });
    const done = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
    socket.once("timeout", () => done(false));
  });
}

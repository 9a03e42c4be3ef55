import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PitstopError } from "../../domain/errors.js";
import { CURL_CONNECT_TO } from "../guest-network.js";

/** The descriptor by which the agent's power command reaches the machine. */
const POWER_FD = 3;

export interface AgentOptions {
  /** The machine's folder for what lives as long as one boot. */
  root: string;
  consoleLog: string;
  bootId: string;
  uuid: string;
  macs: readonly string[];
  firmware: "uefi" | "bios";
  /** The agent asked for it: as `poweroff` and `reboot` in a real image. */
  onPower: (wish: "off" | "reboot") => void;
}

/** The image's agent of images/base/agent, run as a process group in the place of a booted image. */
export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #spool: string;

  private constructor(child: ChildProcess, spool: string) {
    this.#child = child;
    this.#spool = spool;
  }

  static async start(options: AgentOptions): Promise<AgentProcess> {
    const { root } = options;
    const spool = join(root, "run", "pitstop");
    await mkdir(spool, { recursive: true });
    const power = await program(join(root, "power"), `printf '%s\\n' "$1" >&${POWER_FD}`);
    // A process machine has no disks: the host's are never unlocked for a task.
    const unlock = await program(join(root, "disks"), '[ "$1" = lock ]');
    const console = openSync(options.consoleLog, "a");
    try {
      const child = spawn("/bin/sh", [agentProgram()], {
        cwd: root,
        // A group of its own, so that pulling the plug ends all of it.
        detached: true,
        stdio: ["ignore", console, console, "pipe"],
        env: {
          PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
          HOME: root,
          PITSTOP_SESSION_FILE: join(root, "etc", "pitstop", "session"),
          PITSTOP_CA_FILE: join(root, "etc", "pitstop", "ca.pem"),
          PITSTOP_SPOOL: spool,
          PITSTOP_POWER_COMMAND: power,
          PITSTOP_UNLOCK_COMMAND: unlock,
          PITSTOP_BOOT_ID: options.bootId,
          PITSTOP_UUID: options.uuid,
          PITSTOP_MACS: options.macs.join(" "),
          PITSTOP_FIRMWARE: options.firmware,
          PITSTOP_CONNECT_TO: CURL_CONNECT_TO,
        },
      });
      await spawned(child);
      await writeFile(groupFile(root), String(child.pid));
      const agent = new AgentProcess(child, spool);
      agent.#listen(options.onPower);
      return agent;
    } finally {
      closeSync(console);
    }
  }

  /** Stops the group without ending it, as a hung machine does. */
  freeze(): void {
    signalGroup(this.#child.pid, "SIGSTOP");
    signalGroup(scriptGroup(this.#spool), "SIGSTOP");
  }

  /** Pulls the plug: the agent, its guard, and the task's script, which has a group of its own. */
  async kill(): Promise<void> {
    const gone = this.#child.exitCode !== null || this.#child.signalCode !== null;
    const ended = gone ? Promise.resolve() : new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    endGroups(this.#child.pid, this.#spool);
    await ended;
    this.#child.stdio[POWER_FD]?.destroy();
  }

  #listen(onPower: AgentOptions["onPower"]): void {
    const pipe = this.#child.stdio[POWER_FD] as NodeJS.ReadableStream;
    pipe.on("error", () => {});
    pipe.once("data", (bytes: Buffer) => onPower(bytes.toString().trim() === "off" ? "off" : "reboot"));
  }
}

/** Ends an agent that a lab left behind when it was killed. The folder in its environment proves whose it is. */
export async function endLeftoverAgent(root: string): Promise<void> {
  const file = groupFile(root);
  if (!existsSync(file)) return;
  const group = Number(readFileSync(file, "utf8"));
  const ours = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`PITSTOP_SPOOL=${join(root, "run", "pitstop")}`);
    } catch {
      return false;
    }
  };
  if (group > 1 && ours(group)) endGroups(group, join(root, "run", "pitstop"));
  await rm(file, { force: true });
}

const groupFile = (root: string): string => join(root, "agent.pid");

/** The process group of the task's script, which the agent notes for its guard. */
function scriptGroup(spool: string): number | undefined {
  try {
    return Number(readFileSync(join(spool, "running"), "utf8")) || undefined;
  } catch {
    return undefined;
  }
}

/** All at once, as a plug does it: an agent that went on for a moment would tell of its script's death. */
function endGroups(agent: number | undefined, spool: string): void {
  signalGroup(agent, "SIGSTOP");
  signalGroup(scriptGroup(spool), "SIGKILL");
  signalGroup(agent, "SIGKILL");
}

function signalGroup(group: number | undefined, signal: NodeJS.Signals): void {
  if (group === undefined || group <= 1) return;
  try {
    process.kill(-group, signal);
  } catch {
    // Gone already: that is the state that was wanted.
  }
}

async function program(path: string, line: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\n${line}\n`, { mode: 0o700 });
  return path;
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) =>
      reject(new PitstopError("internal", `The agent could not be started: ${error.message}`, { cause: error })),
    );
  });
}

/** images/base/agent/pitstop-agent, found from here upwards: the compiled program lies one folder deeper. */
function agentProgram(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let depth = 0; depth < 8; depth++) {
    const path = join(folder, "images", "base", "agent", "pitstop-agent");
    if (existsSync(path)) return path;
    folder = dirname(folder);
  }
  throw new PitstopError(
    "notFound",
    "images/base/agent/pitstop-agent is missing; process machines need it as their image's agent.",
  );
}

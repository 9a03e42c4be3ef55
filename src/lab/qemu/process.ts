import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { bareEnvironment } from "../../domain/environment.js";
import { messageOf, PitstopError } from "../../domain/errors.js";
import { CONSOLE_FD, QMP_FD } from "./command.js";
import { Qmp } from "./qmp.js";

/** From spawn to QEMU's greeting. Loading takes 0.1 s; the rest is for a host that starts many machines at once. */
const GREETING_MS = 30_000;
/** From SIGKILL to the end of the process. Longer is a process that the kernel cannot end. */
const KILL_MS = 10_000;
const STDERR_BYTES = 4096;

/** Why QEMU ended: the guest's reset, the guest's power-off, our own kill, or a death that nobody asked for. */
export type QemuEnd = "guest-reset" | "guest-shutdown" | "killed" | "died";

/** One run of QEMU, which is one power-on of a machine. */
export class QemuProcess {
  readonly pid: number;
  readonly ended: Promise<QemuEnd>;
  readonly #child: ChildProcess;
  #qmp: Qmp | null = null;
  #shutdownReason: string | null = null;
  #killed = false;
  #stderr = "";

  /**
   * Starts QEMU under `setpriv --pdeathsig KILL`: the kernel ends it with the process that started it, however that
   * one dies. The wrapper executes QEMU in place, so the pid is QEMU's own.
   */
  static async start(program: string, args: string[], onConsole: (chunk: Buffer) => void): Promise<QemuProcess> {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", program, ...args], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      env: bareEnvironment(),
    });
    await spawned(child);
    const machine = new QemuProcess(child, onConsole);
    try {
      machine.#qmp = await Qmp.open(child.stdio[QMP_FD] as Duplex, GREETING_MS);
      machine.#qmp.on("event", ({ event, data }) => {
        if (event === "SHUTDOWN") machine.#shutdownReason = String(data.reason);
      });
      await machine.command("cont");
    } catch (error) {
      await machine.kill();
      throw new PitstopError("unreachable", `QEMU did not start: ${machine.#stderr.trim() || messageOf(error)}`, {
        cause: error,
      });
    }
    return machine;
  }

  private constructor(child: ChildProcess, onConsole: (chunk: Buffer) => void) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_BYTES);
    });
    const console = child.stdio[CONSOLE_FD] as Duplex;
    console.on("data", onConsole);
    console.on("error", () => console.destroy());
    // `close` comes after the last bytes of every pipe, and so after the SHUTDOWN event.
    this.ended = new Promise((resolve) => child.once("close", () => resolve(this.#end())));
  }

  /** What QEMU wrote to its standard error, at most the last 4 KiB. */
  get complaints(): string {
    return this.#stderr.trim();
  }

  async command(name: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (!this.#qmp) throw new PitstopError("unreachable", "QEMU is not connected yet.");
    return await this.#qmp.command(name, args);
  }

  /** Pulls the plug and waits until the process is gone. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.#child.kill("SIGKILL");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), KILL_MS);
    });
    const first = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (first === "late") {
      throw new PitstopError(
        "internal",
        `QEMU (pid ${this.pid}) does not end after SIGKILL; look at the host's kernel log.`,
      );
    }
  }

  #end(): QemuEnd {
    if (this.#killed) return "killed";
    if (this.#shutdownReason === "guest-reset") return "guest-reset";
    // A guest panic without a reset leaves the machine dead, which QEMU tells as a shutdown too.
    return this.#shutdownReason === null ? "died" : "guest-shutdown";
  }
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => {
      reject(new PitstopError("unreachable", `QEMU could not be started: ${error.message}.`, { cause: error }));
    });
  });
}

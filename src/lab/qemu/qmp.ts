import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { PitstopError } from "../../domain/errors.js";

/** A message of QEMU is small; a longer line is not QMP. */
const MAX_LINE_BYTES = 1 << 20;

export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: PitstopError) => void;
  timer: NodeJS.Timeout;
}

/**
 * QEMU's machine protocol (QMP 1) over a connected socket: one JSON document a line, answers matched by id.
 * Every command is bounded in time; when the socket closes, all that wait are told.
 */
export class Qmp extends EventEmitter<{ event: [QmpEvent] }> {
  readonly #socket: Duplex;
  readonly #waiting = new Map<number, Waiting>();
  #greeted: (() => void) | null = null;
  #nextId = 1;
  #partial = "";
  #closed = false;

  private constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", () => this.#close());
    socket.on("close", () => this.#close());
    socket.on("end", () => this.#close());
  }

  /** Waits for the greeting and leaves negotiation mode; events arrive only from then on. */
  static async open(socket: Duplex, timeoutMs: number): Promise<Qmp> {
    const qmp = new Qmp(socket);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(unreachable("QEMU sent no greeting", timeoutMs)), timeoutMs);
      qmp.#greeted = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.once("close", () => {
        clearTimeout(timer);
        reject(new PitstopError("unreachable", "QEMU ended before it could be controlled."));
      });
    });
    await qmp.command("qmp_capabilities", {}, timeoutMs);
    return qmp;
  }

  /** Runs a command and gives its return value. `refused` when QEMU says no, `unreachable` when it says nothing. */
  command(name: string, args: Record<string, unknown> = {}, timeoutMs = 10_000): Promise<unknown> {
    if (this.#closed) return Promise.reject(gone(name));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(unreachable(`QEMU did not answer ${name}`, timeoutMs));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: name, arguments: args, id })}\n`);
    });
  }

  #take(text: string): void {
    this.#partial += text;
    const lines = this.#partial.split("\n");
    this.#partial = lines.pop() ?? "";
    if (this.#partial.length > MAX_LINE_BYTES) {
      this.#socket.destroy();
      return;
    }
    for (const line of lines) if (line.trim() !== "") this.#dispatch(line);
  }

  #dispatch(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.#socket.destroy();
      return;
    }
    if ("QMP" in message) {
      this.#greeted?.();
    } else if (typeof message.event === "string") {
      this.emit("event", { event: message.event, data: (message.data ?? {}) as Record<string, unknown> });
    } else if (typeof message.id === "number") {
      this.#answer(message.id, message);
    }
  }

  #answer(id: number, message: Record<string, unknown>): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    const error = message.error as { desc?: unknown } | undefined;
    if (error) waiting.reject(new PitstopError("refused", `QEMU refused: ${String(error.desc)}`));
    else waiting.resolve(message.return);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(gone("the command"));
    }
    this.#waiting.clear();
    this.#socket.destroy();
  }
}

const unreachable = (what: string, timeoutMs: number) =>
  new PitstopError("unreachable", `${what} within ${timeoutMs} ms; the host may be overloaded.`);
const gone = (name: string) => new PitstopError("unreachable", `QEMU has ended, so ${name} was not done.`);

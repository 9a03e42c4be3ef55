import { createWriteStream, renameSync, statSync, type WriteStream } from "node:fs";

/** A lab that ran for long begins a new file at its next start; the one before is kept as `.old`. */
const MAX_BYTES = 64 * 1024 * 1024;

/** What reached the lab's BMCs and machines, a line each, for people and for programs outside of the lab's process. */
export class LabLog {
  readonly #stream: WriteStream;

  constructor(file: string) {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > MAX_BYTES) renameSync(file, `${file}.old`);
    this.#stream = createWriteStream(file, { flags: "a", mode: 0o600 });
    // A full disk must not end the machines.
    this.#stream.on("error", () => {});
  }

  say(machine: string, what: string): void {
    this.#stream.write(`${new Date().toISOString()} ${machine} ${what}\n`);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#stream.end(resolve));
  }
}

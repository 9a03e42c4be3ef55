import { appendFileSync, rmSync, statSync } from "node:fs";

const MAX_BYTES = 4 * 1024 * 1024;

/** A machine's serial console: what the lab says of it, beside what its agent prints. */
export class Console {
  constructor(readonly file: string) {}

  /** A new power-on. What is longer than 4 MiB by then is thrown away. */
  begin(line: string): void {
    const size = statSync(this.file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > MAX_BYTES) rmSync(this.file, { force: true });
    this.say(line);
  }

  say(line: string): void {
    appendFileSync(this.file, `[lab ${new Date().toISOString()}] ${line}\n`);
  }
}

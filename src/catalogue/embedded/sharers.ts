import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRunning, readIdentity, thisProcess } from "../../processes.js";

/** Counts openings in this process: a process may open one server twice. */
let openings = 0;

/** The processes that use one server: a file each, of which those of dead processes are removed. Used under the server's lock. */
export class Sharers {
  readonly #folder: string;
  readonly #mine = `${process.pid}-${++openings}.json`;

  constructor(folder: string) {
    this.#folder = folder;
  }

  join(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(this.#folder, this.#mine), JSON.stringify(thisProcess()), { mode: 0o600 });
  }

  leave(): void {
    rmSync(join(this.#folder, this.#mine), { force: true });
  }

  /** Process ids of the others that live. A file that cannot be read was torn by a power cut, and nobody lives since. */
  others(): number[] {
    return readdirSync(this.#folder).flatMap((name) => {
      if (name === this.#mine) return [];
      const file = join(this.#folder, name);
      const holder = readIdentity(file);
      if (holder && isRunning(holder)) return [holder.pid];
      rmSync(file, { force: true });
      return [];
    });
  }
}

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { PitstopError } from "../domain/errors.js";

const Ports = z.record(z.string(), z.number().int().min(1).max(65_535));

/** The ports that a lab's listeners got at their first start. They are in its targets' documents, so they stay. */
export class KeptPorts {
  readonly #file: string;
  readonly #ports: Record<string, number>;

  constructor(file: string) {
    this.#file = file;
    this.#ports = existsSync(file) ? Ports.parse(JSON.parse(readFileSync(file, "utf8"))) : {};
  }

  /** Listens on the port that `what` had before, or on one that the operating system chooses, and keeps it. */
  async listen<T extends { port: number }>(what: string, listen: (port: number) => Promise<T>): Promise<T> {
    const before = this.#ports[what];
    try {
      const listener = await listen(before ?? 0);
      this.#ports[what] = listener.port;
      return listener;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      throw new PitstopError(
        "refused",
        `The port ${before} of ${what} is taken; stop the lab that runs already, or remove ${this.#file}.`,
        { cause: error },
      );
    }
  }

  save(): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#ports, null, 2));
    renameSync(`${this.#file}.new`, this.#file);
  }
}

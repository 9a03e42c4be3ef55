import { closeSync, existsSync, openSync, readSync } from "node:fs";

const CHUNK = 1 << 20;

/** A log in which the second word of each line is a target, read on from where it was: hundreds of targets ask for their lines. */
export class LinesByTarget {
  readonly #file: string;
  readonly #lines = new Map<string, string[]>();
  #offset = 0;
  #rest = Buffer.alloc(0);

  constructor(file: string) {
    this.#file = file;
  }

  linesOf(target: string): string[] {
    if (existsSync(this.#file)) this.#readOn();
    return [...(this.#lines.get(target) ?? [])];
  }

  #readOn(): void {
    const file = openSync(this.#file, "r");
    try {
      const chunk = Buffer.alloc(CHUNK);
      for (;;) {
        const read = readSync(file, chunk, 0, CHUNK, this.#offset);
        if (read === 0) return;
        this.#offset += read;
        this.#take(Buffer.concat([this.#rest, chunk.subarray(0, read)]));
      }
    } finally {
      closeSync(file);
    }
  }

  #take(bytes: Buffer): void {
    const end = bytes.lastIndexOf(10);
    this.#rest = Buffer.from(bytes.subarray(end + 1));
    for (const line of bytes
      .subarray(0, end + 1)
      .toString("utf8")
      .split("\n")) {
      const target = line.split(" ", 2)[1];
      if (target === undefined) continue;
      const lines = this.#lines.get(target) ?? [];
      lines.push(line);
      this.#lines.set(target, lines);
    }
  }
}

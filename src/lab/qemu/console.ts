import { appendFileSync, renameSync, statSync } from "node:fs";

/** The log and the one before it are kept: together at most twice this. */
const MAX_LOG_BYTES = 8 << 20;
/** Longer than any text that tells the progress. */
const TAIL_CHARS = 512;

/** DSP0268 BootProgress.LastState by what the serial console shows; later ones win, and none goes back. */
const SIGNS: { state: string; sign: RegExp }[] = [
  { state: "SystemHardwareInitializationComplete", sign: /Booting from |BdsDxe: (loading|starting)|iPXE initialising/ },
  { state: "OSBootStarted", sign: /SYSLINUX |Linux version |EFI stub: / },
  { state: "OSRunning", sign: /Run \/\S* as init process|lab system: \S+ is up/ },
];

/** The serial console of one machine: kept in a bounded file across starts, and read for signs of progress. */
export class ConsoleLog {
  readonly path: string;
  #bytes: number;
  #tail = "";
  #reached = -1;

  constructor(path: string) {
    this.path = path;
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Marks a power-on. */
  begin(what: string): void {
    this.#tail = "";
    this.#reached = -1;
    this.write(Buffer.from(`\r\n--- ${new Date().toISOString()} ${what} ---\r\n`));
  }

  write(chunk: Buffer): void {
    if (this.#bytes + chunk.length > MAX_LOG_BYTES) {
      renameSync(this.path, `${this.path}.1`);
      this.#bytes = 0;
    }
    appendFileSync(this.path, chunk);
    this.#bytes += chunk.length;
    this.#tail = (this.#tail + chunk.toString("latin1")).slice(-TAIL_CHARS - chunk.length);
    SIGNS.forEach(({ sign }, index) => {
      if (index > this.#reached && sign.test(this.#tail)) this.#reached = index;
    });
    this.#tail = this.#tail.slice(-TAIL_CHARS);
  }

  progress(): string {
    return SIGNS[this.#reached]?.state ?? "PrimaryProcessorInitializationStarted";
  }
}

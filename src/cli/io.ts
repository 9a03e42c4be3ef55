import { text } from "node:stream/consumers";

/** Where the command reads and writes; the process's own, or a test's. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  stdin(): Promise<string>;
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** Whether a person watches standard output, so that it may be repainted. */
  tty: boolean;
  colour: boolean;
  /** Ends watching as Ctrl-C does, without a word: whoever aborts it has said why. */
  stop?: AbortSignal;
  columns(): number;
  rows(): number;
}

export function processIo(): Io {
  const { env, stdout, stderr, stdin } = process;
  // Whoever read our output (head, a closed terminal) has seen enough: that is no failure to tell of.
  stdout.on("error", () => process.exit());
  return {
    out: (written) => void stdout.write(written),
    err: (written) => void stderr.write(written),
    stdin: () => text(stdin),
    env,
    cwd: process.cwd(),
    tty: stdout.isTTY === true && env.TERM !== "dumb",
    colour: stdout.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb",
    // A terminal that was not told its size says 0.
    columns: () => stdout.columns || 80,
    rows: () => stdout.rows || 24,
  };
}

import type { Say } from "../src/temporal/say.js";

type Terminal = Pick<NodeJS.WriteStream, "write" | "isTTY" | "columns">;

/**
 * Writes each step of a start as a line. A terminal also gets how far a step is, in place, in its last line. Files and
 * pipes get that as lines from time to time, as `progressOf` has it.
 */
export function terminalSay(indent = "", out: Terminal = process.stdout, env: NodeJS.ProcessEnv = process.env): Say {
  const line = (text: string) => void out.write(`${indent}${text}\n`);
  if (out.isTTY !== true || env.TERM === "dumb") return line;
  let shown = false;
  const clear = () => {
    if (shown) out.write("\r\u001b[K");
    shown = false;
  };
  const say: Say = (text) => {
    clear();
    line(text);
  };
  say.progress = (text) => {
    clear();
    if (text === null) return;
    // A line that wraps could not be cleared.
    out.write(`${indent}${text}`.slice(0, (out.columns || 80) - 1));
    shown = true;
  };
  return say;
}

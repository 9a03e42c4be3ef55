import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Io } from "../../src/cli/io.js";
import { main } from "../../src/cli/main.js";
import { TOKEN } from "../api/running.js";

export interface Said {
  exit: number;
  out: string;
  err: string;
}

export interface Command {
  /** A folder of its own: working folder and, below it, PITSTOP_DATA. */
  cwd: string;
  (argv: string[], more?: { stdin?: string; tty?: boolean; env?: NodeJS.ProcessEnv }): Promise<Said>;
}

/** The command as a user at a terminal, or a script, runs it against the server at `url`. */
export function commandFor(url: string): Command {
  const cwd = mkdtempSync(join(tmpdir(), "pitstop-cli-"));
  const command = async (argv: string[], more: { stdin?: string; tty?: boolean; env?: NodeJS.ProcessEnv } = {}) => {
    const said: Said = { exit: -1, out: "", err: "" };
    const io: Io = {
      out: (text) => {
        said.out += text;
      },
      err: (text) => {
        said.err += text;
      },
      stdin: async () => more.stdin ?? "",
      env: { PITSTOP_URL: url, PITSTOP_TOKEN: TOKEN, PATH: process.env.PATH, ...more.env },
      cwd,
      tty: more.tty ?? false,
      colour: more.tty ?? false,
      columns: () => 100,
      rows: () => 30,
    };
    said.exit = await main(argv, io);
    return said;
  };
  return Object.assign(command, { cwd });
}

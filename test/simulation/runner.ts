import { execFile } from "node:child_process";

const MAIN = "test/simulation/model/main.mjs";
/** A hung run is a failure of its own; the slowest honest one takes a third of this on a busy machine. */
const LIMIT_MS = 900_000;

export interface Report {
  seconds: number;
  seeds: { seed: number; hash: string; events: number; virtualMs: number }[];
  hits: Record<string, number>;
  phases: string[];
  broken: { seed: number; first: boolean; promise: number; sentence: string; story: string[] }[];
}

/** Runs the simulation in a process of its own, because it replaces the clock of its process. */
export function simulate(...args: string[]): Promise<Report> {
  return new Promise((resolve, reject) => {
    const options = { timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, ["--no-warnings", MAIN, "--json", ...args], options, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Report);
      } catch {
        reject(new Error(`The simulation did not report: ${stderr.slice(-2_000) || error?.message}`));
      }
    });
  });
}

/** What a reader of a failed test needs: the story's end, what was broken, and how to see it again. */
export function told(broken: Report["broken"]): string {
  return broken
    .map(
      ({ seed, first, promise, sentence, story }) =>
        `${story.join("\n")}\nseed ${seed} breaks promise ${promise}: ${sentence}\nagain: node ${MAIN} --seed ${seed}${first ? " --first" : ""} --trace`,
    )
    .join("\n\n");
}

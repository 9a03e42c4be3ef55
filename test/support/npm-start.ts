import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { cacheFolder } from "../../src/cache-folder.js";
import { cloneTo } from "./clone.js";

/** A bound for a hang: two sessions of an emulated machine on a busy host take half of it. */
const NPM_START_MS = 540_000;

/** `npm start` in a clone of this repository, below a temporary folder. */
export function freshClone() {
  const folder = mkdtempSync(join(tmpdir(), "pitstop-npm-start-"));
  const clone = join(folder, "pitstop");
  cloneTo(clone);

  /** With a home folder and a state folder of its own; what is built once (Temporal, images) is shared. */
  function begin(name: string, args: string[]) {
    const data = join(folder, name);
    const home = join(folder, "home");
    mkdirSync(home, { recursive: true });
    const env = {
      ...{ PATH: process.env.PATH, HOME: home, TMPDIR: tmpdir(), PITSTOP_NO_INSTALL: "1" },
      ...{ PITSTOP_CACHE: cacheFolder(), PITSTOP_DATA: data },
    };
    // In a process group of its own, as a terminal starts a command: a Ctrl-C goes to the group.
    const options = {
      cwd: clone,
      env,
      extendEnv: false,
      reject: false,
      timeout: NPM_START_MS,
      detached: true,
    } as const;
    return { run: execa("npm", ["start", "--", ...args], options), data };
  }

  async function start(name: string, args: string[]) {
    const json = join(folder, `${name}.json`);
    const { run, data } = begin(name, ["--once", "--json", json, ...args]);
    return { ...(await run), data, json };
  }

  /** Starts, presses Ctrl-C once the output has this, and gives what was said after that. */
  async function interrupt(name: string, args: string[], seen: RegExp) {
    const { run, data } = begin(name, args);
    let said = "";
    let before = 0;
    run.stdout.on("data", (chunk) => {
      said += String(chunk);
      if (before > 0 || !seen.test(said) || run.pid === undefined) return;
      before = said.length;
      process.kill(-run.pid, "SIGINT");
    });
    // npm itself ends by the signal, once what it started has ended.
    const { signal, stderr } = await run;
    const temporal = JSON.parse(readFileSync(join(data, "temporal", "server.json"), "utf8")) as { pid: number };
    return { signal, stderr, before: said.slice(0, before), said: said.slice(before), temporal: temporal.pid };
  }

  return { folder, start, interrupt };
}

import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { sayAway, sayLeft } from "../../workers/stopping.js";

/** A process that takes long to stop. */
const PROGRAM = `
  import { listenForStop } from "./workers/stopping.ts";
  const stop = listenForStop(() => ["the Temporal server (process 812)"]);
  console.log("ready");
  const alive = setInterval(() => {}, 1000);
  await stop.asked;
  for (const name of ["the API", "the Temporal server"]) {
    stop.tell(name);
    await new Promise((done) => setTimeout(done, Number(process.env.STOP_MS)));
  }
  clearInterval(alive);
  stop.end();
`;

function start(stopMs: number) {
  const args = ["--import", "./scripts/typescript.mjs", "--input-type=module", "-e", PROGRAM];
  const child = spawn(process.execPath, args, { cwd: resolve("."), env: { ...process.env, STOP_MS: String(stopMs) } });
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    said.out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    said.err += String(chunk);
  });
  const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
  const until = (text: string) => expect.poll(() => said.out, { timeout: 120_000 }).toContain(text);
  return { child, said, ended, until };
}

describe("a process that is asked to stop", () => {
  it("names each part as it stops it, and a Ctrl-C that npm hands on is not a second one", async () => {
    const { child, said, ended, until } = start(100);
    await until("ready");
    child.kill("SIGINT");
    await until("Stopping");
    child.kill("SIGINT");
    expect(await ended).toBe(0);
    expect(said).toEqual({
      out: "ready\n\nStopping. A second Ctrl-C ends this process at once.\n  stopping the API\n  stopping the Temporal server\n",
      err: "",
    });
  });

  it("ends at once at a second Ctrl-C, and says what may still be running", async () => {
    const { child, said, ended, until } = start(60_000);
    await until("ready");
    child.kill("SIGINT");
    await until("stopping the API");
    await sleep(1_000);
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(said.err).toBe(
      "Ended at once. This may still be running: the Temporal server (process 812). The next start takes it over, and open sessions go on.\n",
    );
  });

  it("says so when nothing is left running", () => {
    expect(sayLeft([])).toBe(
      "Ended at once. Nothing of this process is left running; open sessions go on at the next start.",
    );
  });

  it("names the targets with open sessions, up to twenty", () => {
    const away = { target: "r1-n07", phase: "working", untouched: false };
    expect(sayAway([away, { target: "r1-n08", phase: "planning", untouched: true }, { ...away, phase: null }])).toEqual(
      [
        "  r1-n07 is away (working); its session goes on at the next start",
        "  r1-n08 has an open session (planning); its session goes on at the next start",
        "  r1-n07 is away; its session goes on at the next start",
      ],
    );
    expect(sayAway(Array.from({ length: 23 }, () => away)).at(-1)).toBe("  and 3 more, whose sessions go on too");
    expect(sayAway([])).toEqual([]);
  });
});

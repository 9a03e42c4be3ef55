import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { InventoryReport } from "../../src/domain/inventory.js";
import { SessionRecord } from "../../src/domain/record.js";
import { AWAY_AND_HOME, expectPhases } from "../support/expectations.js";
import { freshClone } from "../support/npm-start.js";

describe("npm start -- --once", { timeout: 600_000 }, () => {
  const { folder, start, interrupt } = freshClone();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("builds, takes a QEMU machine away and home, writes the record, and leaves nothing running", async () => {
    const run = await start("bios", []);
    expect(run.exitCode, `${run.stdout}\n${run.stderr}`).toBe(0);
    const record = SessionRecord.parse(JSON.parse(readFileSync(run.json, "utf8")));
    expect(record).toMatchObject({
      ...{ target: "lab-bios-1", action: "inventory", image: "pitstop-base" },
      ...{ outcome: "succeeded", ending: "restored", failure: null, stranded: null },
      home: { proved: true, strength: "strong" },
      restore: { differences: [], added: [] },
    });
    expectPhases(record, AWAY_AND_HOME);
    expect({ ...record.restore.after, readAt: null }).toEqual({ ...record.restore.before, readAt: null });
    const [before, after] = [record.home.before[0], record.home.checks[0]];
    expect(after).toMatchObject({ answered: true, machineId: before?.machineId });
    expect(after?.bootId).not.toBe(before?.bootId);
    expect(after?.facts).toEqual({ ...before?.facts, bootCount: Number(before?.facts.bootCount) + 1 });
    expect(record.powerActions.map(({ what, why }) => `${what}: ${why}`)).toEqual([
      "GracefulShutdown: boot pitstop-base",
      "On: boot pitstop-base",
      "On: go home",
    ]);
    const report = InventoryReport.parse(record.findings?.inventory);
    expect(report.installed).toMatchObject([{ machineId: before?.machineId, name: "Pitstop lab system" }]);

    for (const phase of AWAY_AND_HOME) expect(run.stdout).toContain(phase);
    // What the machine is made of comes after the session and before the addresses.
    const summary = run.stdout.slice(run.stdout.indexOf("the target is home"));
    for (const line of [
      /^machine +Pitstop Lab machine/m,
      /^firmware +BIOS SeaBIOS /m,
      /^processors +.*1 core, 1 thread/m,
    ])
      expect(summary).toMatch(line);
    for (const line of [/^memory +\d+ MiB usable/m, /^disks +vda +\d+ MB /m, /^system +Pitstop lab system .*on /m])
      expect(summary).toMatch(line);
    expect(summary.indexOf("Pitstop lab system")).toBeLessThan(summary.indexOf("/api/v1"));
    expect(run.stdout).toMatch(/API +http:\/\/127\.0\.0\.1:\d+\/api\/v1/);
    const temporal = JSON.parse(readFileSync(join(run.data, "temporal", "server.json"), "utf8")) as { pid: number };
    expect(existsSync(`/proc/${temporal.pid}`)).toBe(false);
    const qemu = readFileSync(join(run.data, "lab", "machines", "lab-bios-1", "machine", "qemu.pid"), "utf8").trim();
    expect(existsSync(`/proc/${qemu}`)).toBe(false);
  });

  it("stops at Ctrl-C in order, saying what it stops", async () => {
    const { signal, stderr, said, temporal } = await interrupt("stop", ["--machine", "process"], /Ctrl-C stops it\./);
    expect(signal, `${said}\n${stderr}`).toBe("SIGINT");
    const parts = [
      "the lab's machines: lab-process-1",
      "the API (http://127.0.0.1:",
      "the worker that decides what sessions do next",
      "the boot server and the agents' listener (",
      "the worker that acts on the site's BMCs",
      "the Temporal server (process ",
      "the database (process ",
    ].map((name) => `  stopping ${name}`);
    const told = said.split("\n").filter((line) => parts.some((part) => line.startsWith(part)));
    expect(told.map((line) => parts.findIndex((part) => line.startsWith(part)))).toEqual(parts.map((_, i) => i));
    expect(said).toContain("Stopped.\n");
    expect(stderr).toBe("");
    expect(temporal).toBe(0);
  });

  it("that cannot begin says so in one sentence, and exits with a code that is not 0", async () => {
    const run = await start("process", ["--machine", "process", "--action", "no-such-action"]);
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toContain("There is no action no-such-action");
    expect(run.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
    expect(existsSync(run.json)).toBe(false);
  });
});

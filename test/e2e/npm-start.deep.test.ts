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

  it("names the machine that is away at a Ctrl-C, and the next start brings it home first", async () => {
    const away = await interrupt("away", [], /^\d\d:\d\d:\d\d rebooting$/m);
    expect(away.signal, `${away.said}\n${away.stderr}`).toBe("SIGINT");
    expect(away.said).toMatch(/^ {2}lab-bios-1 is away \(rebooting\); its session goes on at the next start$/m);
    expect(away.said).toContain("Stopped.\n");
    const next = await start("away", []);
    expect(next.exitCode, `${next.stdout}\n${next.stderr}`).toBe(0);
    expect(next.stdout).toContain("lab-bios-1 is still away since the last start; its session goes on");
    expect(next.stdout.match(/the target is home/g)).toHaveLength(2);
  });

  it("that cannot begin says so in one sentence, and exits with a code that is not 0", async () => {
    const run = await start("process", ["--machine", "process", "--action", "no-such-action"]);
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toContain("There is no action no-such-action");
    expect(run.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
    expect(existsSync(run.json)).toBe(false);
  });
});

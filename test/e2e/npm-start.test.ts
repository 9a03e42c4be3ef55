import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InventoryReport } from "../../src/domain/inventory.js";
import { SessionRecord } from "../../src/domain/record.js";
import { cacheFolder } from "../support/cache.js";
import { AWAY_AND_HOME, expectPhases } from "../support/expectations.js";

/** What a clone does not have, or what would be copied for nothing. */
const NOT_CLONED = new Set(["node_modules", "dist", ".git", ".cache", ".pitstop"]);

describe("npm start -- --once", { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "pitstop-npm-start-"));
  const clone = join(folder, "pitstop");
  beforeAll(() => {
    cpSync(resolve("."), clone, { recursive: true, filter: (path) => !NOT_CLONED.has(path.split("/").at(-1) ?? "") });
    linkDependencies(clone);
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** With a home folder and a state folder of its own; what is built once (Temporal, images) is shared. */
  async function start(name: string, args: string[]) {
    const data = join(folder, name);
    const home = join(folder, "home");
    mkdirSync(home, { recursive: true });
    const json = join(folder, `${name}.json`);
    const env = {
      ...{ PATH: process.env.PATH, HOME: home, TMPDIR: tmpdir(), PITSTOP_NO_INSTALL: "1" },
      ...{ PITSTOP_CACHE: cacheFolder(), PITSTOP_DATA: data },
    };
    const command = ["start", "--", "--once", "--json", json, ...args];
    const run = await execa("npm", command, { cwd: clone, env, extendEnv: false, reject: false, timeout: 280_000 });
    return { ...run, data, json };
  }

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
    expect(run.stdout).toMatch(/API +http:\/\/127\.0\.0\.1:\d+\/api\/v1/);
    const temporal = JSON.parse(readFileSync(join(run.data, "temporal", "server.json"), "utf8")) as { pid: number };
    expect(existsSync(`/proc/${temporal.pid}`)).toBe(false);
    const qemu = readFileSync(join(run.data, "lab", "machines", "lab-bios-1", "machine", "qemu.pid"), "utf8").trim();
    expect(existsSync(`/proc/${qemu}`)).toBe(false);
  });

  it("that cannot begin says so in one sentence, and exits with a code that is not 0", async () => {
    const run = await start("process", ["--machine", "process", "--action", "no-such-action"]);
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toContain("There is no action no-such-action");
    expect(run.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
    expect(existsSync(run.json)).toBe(false);
  });
});

/** The packages that are installed here, as `npm ci` would leave them: each by a link, so that the clone cannot change them. */
function linkDependencies(clone: string): void {
  const [from, to] = [resolve("node_modules"), join(clone, "node_modules")];
  mkdirSync(to);
  for (const name of readdirSync(from)) if (!name.startsWith(".pitstop")) symlinkSync(join(from, name), join(to, name));
  const lock = createHash("sha256")
    .update(readFileSync(join(clone, "package-lock.json")))
    .digest("hex");
  writeFileSync(join(to, ".pitstop-lock"), lock);
}

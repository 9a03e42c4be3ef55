import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { messageOf } from "../../src/domain/errors.js";
import { InventoryReport } from "../../src/domain/inventory.js";
import { SessionRecord } from "../../src/domain/record.js";
import { cloneTo } from "../support/clone.js";
import { AWAY_AND_HOME, expectPhases } from "../support/expectations.js";
import { NODE_VERSIONS, nodePrograms } from "../support/node-versions.js";

/** The rooms whose tests need neither machines nor other processes' programs. */
const ROOMS = [
  ...["agent", "api", "boot", "catalogue", "cli", "control", "lab", "stores", "temporal", "workers", "workflows"],
].map((room) => `test/${room}/`);
/** A fresh clone builds first, and two busy cores take their time. */
const START_MS = 6 * 60_000;
/** The rooms take three minutes on two idle cores. */
const ROOMS_MS = 20 * 60_000;

const folder = mkdtempSync(join(tmpdir(), "pitstop-node-versions-"));
const clone = join(folder, "pitstop");
beforeAll(() => cloneTo(clone));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(NODE_VERSIONS)("Node.js %s", (version) => {
  let programs: string | null = null;
  let why = "";
  beforeAll(async () => {
    programs = await nodePrograms(version).catch((error: unknown) => {
      why = `npm's package of Node.js ${version} is not to be had: ${messageOf(error).split("\n")[0]}`;
      if (process.env.CI) throw new Error(why, { cause: error });
      return null;
    });
  }, START_MS);

  /** `node` and `npm` are this release's, for every process below. */
  const environment = (name: string) => {
    const home = join(folder, version, name);
    mkdirSync(home, { recursive: true });
    const path = [programs ?? "", process.env.PATH ?? ""].join(delimiter);
    return { PATH: path, HOME: home, TMPDIR: tmpdir(), PITSTOP_NO_INSTALL: "1", PITSTOP_CACHE: cacheFolder() };
  };

  it("takes a machine away and home at the first start", { timeout: START_MS }, async (context) => {
    if (programs === null) context.skip(why);
    const env = environment("start");
    const json = join(env.HOME, "record.json");
    const command = ["start", "--", "--once", "--machine", "process", "--json", json];
    const run = await execa("npm", command, {
      ...{ cwd: clone, extendEnv: false, reject: false, timeout: START_MS - 10_000 },
      env: { ...env, PITSTOP_DATA: join(env.HOME, "data") },
    });
    expect(run.exitCode, `${run.stdout}\n${run.stderr}`).toBe(0);
    // A word of deprecation, or of an experiment, is for us to mend.
    expect(run.stderr).not.toMatch(/\(node:\d+\)/);
    const record = SessionRecord.parse(JSON.parse(readFileSync(json, "utf8")));
    expect(record).toMatchObject({
      ...{ target: "lab-process-1", action: "inventory", outcome: "succeeded", ending: "restored" },
      ...{ failure: null, stranded: null, home: { proved: true, strength: "strong" } },
      restore: { differences: [], added: [] },
    });
    expectPhases(record, AWAY_AND_HOME);
    InventoryReport.parse(record.findings?.inventory);
  });

  it("passes the rooms' own tests", { timeout: ROOMS_MS }, async (context) => {
    if (programs === null) context.skip(why);
    const env = environment("rooms");
    const report = join(env.HOME, "report.json");
    const vitest = [join(resolve("node_modules"), "vitest", "vitest.mjs"), "run", "--exclude", "**/qemu*"];
    const run = await execa("node", [...vitest, "--reporter=json", `--outputFile=${report}`, ...ROOMS], {
      ...{ extendEnv: false, reject: false, all: true, timeout: ROOMS_MS - 10_000 },
      env,
    });
    const { numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8")) as Report;
    const failed = testResults.flatMap(({ name, status, assertionResults }) => {
      const tests = assertionResults.filter((test) => test.status === "failed").map((test) => test.fullName);
      return status === "failed" ? [`${name}: ${tests.join("; ") || "beside its tests"}`] : [];
    });
    expect(failed).toEqual([]);
    expect(run.exitCode, run.all).toBe(0);
    expect(numPassedTests).toBeGreaterThan(400);
  });
});

interface Report {
  numPassedTests: number;
  testResults: { name: string; status: string; assertionResults: { status: string; fullName: string }[] }[];
}

import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type Report, simulate, told } from "../runner.js";
import { FAULTS } from "./adversary.js";

const MAIN = "test/simulation/model/main.mjs";
/** Seeds of one process: enough that its start does not count, and few enough that somebody sees it go on. */
const CHUNK = 100;
/** Over so many seeds a fault that never happened is a defect of the simulation. */
const ALL_FAULTS_FROM = 500;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "0" },
    hours: { type: "string", default: "1" },
    count: { type: "string" },
    only: { type: "boolean", default: false },
    times: { type: "string", default: "1" },
    story: { type: "boolean", default: false },
  },
});

/** Seeds from `--seed` on for `--hours`, or `--count` of them, a process on each core; `--only`: that one, `--times` over. */
const first = Number(values.seed);
const startedAt = Date.now();
const endAt = startedAt + Number(values.hours) * 3_600_000;
const end = values.count === undefined ? Number.POSITIVE_INFINITY : first + Number(values.count);
const hits = new Map<string, number>();
const broken = new Set<number>();
const hashes = new Set<string>();
let played = 0;
let next = first;

async function chunk(from: number, seeds: number): Promise<void> {
  const which = ["--seed", String(from), "--seeds", String(seeds)];
  // A report has only the ends of stories: whoever wants to read them whole has the seeds played once more.
  if (values.story) spawnSync(process.execPath, ["--no-warnings", MAIN, ...which, "--trace"], { stdio: "inherit" });
  const report = await simulate(...which);
  count(report);
  if (report.broken.length > 0) console.log(told(report));
  const minutes = Math.round(((Date.now() - startedAt) / 60_000) * 10) / 10;
  console.log(`seeds ${from} to ${from + seeds - 1}: ${broken.size} broken so far of ${played} in ${minutes} minutes`);
}

function count(report: Report): void {
  played += report.seeds.length;
  for (const { seed } of report.broken) broken.add(seed);
  for (const { hash } of report.seeds) hashes.add(hash);
  for (const [fault, times] of Object.entries(report.hits)) hits.set(fault, (hits.get(fault) ?? 0) + times);
}

async function oneAfterTheOther(): Promise<void> {
  while (next < end && Date.now() < endAt) {
    const from = next;
    next = Math.min(from + CHUNK, end);
    await chunk(from, next - from);
  }
}

if (values.only) {
  for (let i = 0; i < Number(values.times); i++) await chunk(first, 1);
  if (hashes.size > 1) console.log(`seed ${first} had ${hashes.size} different stories: a seed must fix everything.`);
} else {
  await Promise.all(Array.from({ length: availableParallelism() }, oneAfterTheOther));
}
const never = played >= ALL_FAULTS_FROM ? FAULTS.filter((fault) => !hits.has(fault)) : [];
if (never.length > 0) console.log(`faults that never happened: ${never.join(", ")}`);
console.log(
  `${played} seeds in virtual time, ${(played / ((Date.now() - startedAt) / 1000)).toFixed(1)}/s: ` +
    `${broken.size} broke a promise (${[...broken].join(", ") || "none"})`,
);
process.exit(broken.size + never.length === 0 && (!values.only || hashes.size === 1) ? 0 : 1);

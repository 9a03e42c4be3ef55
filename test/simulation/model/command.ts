import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type Report, simulate, told } from "../runner.js";
import { EXIT, speaker } from "../speaker.js";
import { FAULTS } from "./faults.js";

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

const minutes = () => `${((Date.now() - startedAt) / 60_000).toFixed(1)} minutes`;
const soFar = () => `${broken.size} broken so far of ${played} in ${minutes()}`;
const say = speaker(() =>
  values.only ? `playing seed ${first}: ${soFar()}` : `playing up to seed ${next - 1}: ${soFar()}`,
);

async function chunk(from: number, seeds: number): Promise<void> {
  const which = ["--seed", String(from), "--seeds", String(seeds)];
  // A report has only the ends of stories: whoever wants to read them whole has the seeds played once more.
  if (values.story) {
    await once(spawn(process.execPath, ["--no-warnings", MAIN, ...which, "--trace"], { stdio: "inherit" }), "exit");
  }
  const report = await simulate(...which);
  count(report);
  if (report.broken.length > 0) say(told(report.broken));
  say(`${seeds === 1 ? `seed ${from}` : `seeds ${from} to ${from + seeds - 1}`}: ${soFar()}`);
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

/** What was met, and the code to end with. */
function sum(): number {
  const never = played >= ALL_FAULTS_FROM ? FAULTS.filter((fault) => !hits.has(fault)) : [];
  const oneStory = !values.only || hashes.size <= 1;
  if (never.length > 0) say(`faults that never happened: ${never.join(", ")}`);
  if (!oneStory) say(`seed ${first} had ${hashes.size} different stories: a seed must fix everything.`);
  say(
    `${played} seed${played === 1 ? "" : "s"} in virtual time, ${(played / ((Date.now() - startedAt) / 1000)).toFixed(1)}/s: ` +
      `${broken.size} broke a promise (${[...broken].join(", ") || "none"})`,
  );
  if (broken.size > 0) return EXIT.broken;
  return never.length === 0 && oneStory ? EXIT.kept : EXIT.otherwise;
}

process.once("SIGINT", () => process.exit(sum() || EXIT.interrupted));
try {
  if (values.only) for (let i = 0; i < Number(values.times); i++) await chunk(first, 1);
  else await Promise.all(Array.from({ length: availableParallelism() }, oneAfterTheOther));
} catch (error) {
  // Its own words are enough: where in this file it was noticed helps nobody.
  console.error(error instanceof Error ? error.message : error);
  process.exit(sum() || EXIT.otherwise);
}
process.exit(sum());

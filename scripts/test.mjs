// npm test, npm run test:deep: lint, types, and the suites of a tier, on a fresh clone too. Names each test that was skipped,
// which in CI none may be. Ends with one line: N passed, N failed[, N skipped].
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkNode, ensureDependencies, ensureOsPackages, root } from "./setup.mjs";
import { filesOf, listed } from "./tiers.mjs";
import { slowest, verdict } from "./verdict.mjs";

const USAGE = `npm test [-- [OPTIONS] [FOLDER...]]             the fast tier
npm run test:deep [-- [OPTIONS] [FOLDER...]]    everything

  FOLDER         only test files with this in their path, for example test/control
  -t PATTERN     only tests whose names match
  --list         prints which files each tier runs, and ends
  --shard I/N    the I-th of N parts of the deep tier, which together are the whole
  --seed S       the deep tier's seed, which it prints first        (default: drawn)
`;
const SLOWEST = 20;

/** Ends here when the arguments are wrong, or help or the list is all that is wanted. */
function read() {
  const options = {
    deep: { type: "boolean", default: false },
    list: { type: "boolean" },
    shard: { type: "string" },
    seed: { type: "string" },
    testNamePattern: { type: "string", short: "t" },
    help: { type: "boolean", short: "h" },
  };
  let given;
  try {
    given = parseArgs({ options, allowPositionals: true });
  } catch (error) {
    refuse(error.message);
  }
  const { values, positionals: filters } = given;
  const tier = values.deep ? "deep" : "fast";
  if (values.help) finish(USAGE);
  for (const name of ["shard", "seed"])
    if (values[name] !== undefined && tier === "fast") refuse(`--${name} is for npm run test:deep.`);
  if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed))
    refuse(`--seed ${values.seed} is not a whole number.`);
  const [, part, parts] = /^(\d{1,3})\/(\d{1,3})$/.exec(values.shard ?? "1/1") ?? [];
  if (!(part >= 1 && Number(part) <= Number(parts))) refuse(`--shard ${values.shard} is not I/N with I from 1 to N.`);
  for (const filter of filters) {
    if (filesOf(root, tier, [filter]).length > 0) continue;
    const other = filesOf(root, "deep", [filter]).length > 0 ? "; npm run test:deep has" : "";
    refuse(`No test file of the ${tier} tier has ${filter} in its path${other}.`);
  }
  if (values.list) finish(`${listed(root, filters).join("\n")}\n`);
  return { ...values, tier, filters, isFirstPart: part === "1" };
}

function refuse(why) {
  process.stderr.write(`${why}\n\n${USAGE}`);
  process.exit(2);
}

function finish(text) {
  process.stdout.write(text);
  process.exit(0);
}

const given = read();
process.env.PITSTOP_TIER = given.tier;
if (given.tier === "deep") {
  process.env.PITSTOP_SEED = given.seed ?? process.env.PITSTOP_SEED ?? String(randomInt(1, 1_000_000));
  console.log(
    `seed ${process.env.PITSTOP_SEED}; npm run test:deep -- --seed ${process.env.PITSTOP_SEED} takes it again`,
  );
}
checkNode();
ensureDependencies();
const groups = ["lab", "image", "media", "agent", "test"];
const complete = ensureOsPackages(groups);
if (process.env.CI && complete.length < groups.length) {
  console.error("CI must not skip for a missing package; the list is above.");
  process.exit(1);
}
const { build } = await import("./build.mjs");
await build();
const { prepareAll } = await import(join(root, "dist/workers/prepare.js"));
await prepareAll((line) => console.log(line));

const node = async (...args) => {
  const [code] = await once(spawn(process.execPath, args, { cwd: root, stdio: "inherit" }), "exit");
  return code === 0;
};
const bin = (name) => join(root, "node_modules", name);
let passed = 0;
let failed = 0;
let skipped = 0;
const check = (name, ok) => {
  console.log(`${ok ? "passed" : "FAILED"}: ${name}`);
  if (ok) passed++;
  else failed++;
};
if (given.filters.length === 0 && given.isFirstPart) {
  // Side by side: each uses one core.
  const [lint, types] = await Promise.all([
    node(bin("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."),
    node(bin("typescript-7/bin/tsc"), "--noEmit", "-p", "tsconfig.test.json"),
  ]);
  check("lint (biome)", lint);
  check("types (tsc)", types);
}
const file = join(mkdtempSync(join(tmpdir(), "pitstop-test-")), "report.json");
process.env.PITSTOP_TEST_REPORT = file;
const clean = await node(
  ...[bin("vitest/vitest.mjs"), "run", "--mode", given.tier],
  ...["--reporter=default", "--reporter=./scripts/reporter.mjs"],
  ...(given.shard ? [`--shard=${given.shard}`, "--passWithNoTests"] : []),
  ...(given.testNamePattern ? [`--testNamePattern=${given.testNamePattern}`] : []),
  ...given.filters,
);
if (existsSync(file)) {
  const report = JSON.parse(readFileSync(file, "utf8"));
  const byName = given.testNamePattern !== undefined;
  const found = verdict(report, { ci: Boolean(process.env.CI), byName, clean });
  for (const line of [...slowest(report, SLOWEST), "", ...found.lines]) console.log(line);
  passed += found.passed;
  failed += found.failed;
  skipped += found.skipped;
} else {
  console.error("the test runner left no report");
  failed++;
}
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);

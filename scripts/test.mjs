// npm test: lint, types, and every suite, on a fresh clone too. Names each test that was skipped, which in CI only those may be
// that verdict.mjs names. Ends with one line: N passed, N failed[, N skipped].
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkNode, ensureDependencies, ensureOsPackages, root } from "./setup.mjs";
import { verdict } from "./verdict.mjs";

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

const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status === 0;
const bin = (name) => join(root, "node_modules", name);
let passed = 0;
let failed = 0;
let skipped = 0;
const check = (name, ok) => {
  console.log(`${ok ? "passed" : "FAILED"}: ${name}`);
  if (ok) passed++;
  else failed++;
};
const filters = process.argv.slice(2);
if (filters.length === 0) {
  check("lint (biome)", node(bin("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."));
  check("types (tsc)", node(bin("typescript/bin/tsc"), "--noEmit", "-p", "tsconfig.test.json"));
}
const report = join(mkdtempSync(join(tmpdir(), "pitstop-test-")), "report.json");
const clean = node(
  bin("vitest/vitest.mjs"),
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
  ...filters,
);
if (existsSync(report)) {
  const byName = filters.some((filter) => /^(-t|--testNamePattern)/.test(filter));
  const found = verdict(JSON.parse(readFileSync(report, "utf8")), { ci: Boolean(process.env.CI), byName, clean });
  for (const line of found.lines) console.log(line);
  passed += found.passed;
  failed += found.failed;
  skipped += found.skipped;
} else {
  console.error("the test runner left no report");
  failed++;
}
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);

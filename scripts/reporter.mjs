// A reporter of Vitest: writes what verdict.mjs reads, one module a test file, to the file that PITSTOP_TEST_REPORT names.
import { writeFileSync } from "node:fs";

export default class {
  onTestRunEnd(modules) {
    writeFileSync(process.env.PITSTOP_TEST_REPORT, JSON.stringify({ modules: modules.map(told) }));
  }
}

function told(module) {
  const tests = [...module.children.allTests()];
  const { environmentSetupDuration, prepareDuration, setupDuration, collectDuration, duration } = module.diagnostic();
  const loadMs = environmentSetupDuration + prepareDuration + setupDuration + collectDuration;
  // What no test was running in: the hooks of the file and of its groups.
  const hooksMs = Math.max(0, duration - covered(tests.map((test) => test.diagnostic()).filter(Boolean)));
  return {
    name: module.relativeModuleId,
    failed: module.state() === "failed",
    errors: module.errors().map(({ message }) => message),
    seconds: (loadMs + duration) / 1000,
    setUpSeconds: (loadMs + hooksMs) / 1000,
    tests: tests.map((test) => ({ name: test.fullName, state: test.result().state, note: test.result().note })),
  };
}

/** Milliseconds in which at least one of these was running: tests of a file may run side by side. */
function covered(spans) {
  let sum = 0;
  let end = 0;
  for (const { startTime, duration } of spans.toSorted((a, b) => a.startTime - b.startTime)) {
    const over = startTime + duration;
    sum += Math.max(0, over - Math.max(startTime, end));
    end = Math.max(end, over);
  }
  return sum;
}

// What a run of the tests comes to, by the report that the test runner leaves.

/** Tests that may be skipped in CI, by their whole names, and why nothing that CI can install lets them run. */
export const MAY_BE_SKIPPED = {
  "redfish-service-validator finds no failure":
    "DMTF's schema files are to be had from redfish.dmtf.org only; PITSTOP_REDFISH_SCHEMAS names a folder that has them",
};

/**
 * Counts, and a line for each thing that somebody should see beside them. `byName`: tests were asked for by their names,
 * so that all others are skipped without a word. `clean`: the runner itself ended well.
 */
export function verdict(report, { ci, byName, clean }) {
  const lines = [];
  let failed = 0;
  const fail = (line) => {
    failed++;
    lines.push(`FAILED: ${line}`);
  };
  let skipped = 0;
  for (const { name: file, status, message, assertionResults } of report.testResults) {
    const failedHere = assertionResults.filter((test) => test.status === "failed").length;
    failed += failedHere;
    // It did not even load, or what comes before or after its tests failed: its tests then count as skipped, or passed.
    const broken = status === "failed" && failedHere === 0;
    if (broken) fail(`${file}, beside its tests${message ? `: ${message.split("\n")[0]}` : ""}`);
    for (const { fullName, status } of assertionResults) {
      if (status === "passed" || status === "failed") continue;
      skipped++;
      const reason = MAY_BE_SKIPPED[fullName];
      if (byName) continue;
      if (reason) lines.push(`skipped: ${fullName} (${reason})`);
      else if (ci && !broken) fail(`${fullName}: skipped, which CI may not`);
      else lines.push(`skipped: ${fullName}`);
    }
  }
  if (!clean && failed === 0) fail("the test runner, beside all tests; what it said is above");
  return { passed: report.numPassedTests, failed, skipped, lines };
}

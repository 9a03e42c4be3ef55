// What a run of the tests comes to, by the report that reporter.mjs leaves.

/**
 * Counts, and a line for each thing that somebody should see beside them. `byName`: tests were asked for by their names,
 * so that all others are skipped without a word. `clean`: the runner itself ended well.
 */
export function verdict({ modules }, { ci, byName, clean }) {
  const lines = [];
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const fail = (line) => {
    counts.failed++;
    lines.push(`FAILED: ${line}`);
  };
  for (const { name: file, failed, errors, tests } of modules) {
    // It did not even load, or what comes before or after its tests failed: its tests then count as skipped, or passed.
    const broken = failed && tests.every(({ state }) => state !== "failed");
    if (broken) fail(`${file}, beside its tests${errors[0] ? `: ${errors[0].split("\n")[0]}` : ""}`);
    for (const { name, state, note } of tests) {
      if (state === "passed" || state === "failed") {
        counts[state]++;
        continue;
      }
      counts.skipped++;
      if (byName) continue;
      const told = note ? `${name} (${note})` : name;
      if (ci && !broken) fail(`${told}: skipped, which CI may not`);
      else lines.push(`skipped: ${told}`);
    }
  }
  if (!clean && counts.failed === 0) fail("the test runner, beside all tests; what it said is above");
  return { ...counts, lines };
}

/** The slowest files as a table: the seconds of each, and how many of them no test was running in. */
export function slowest({ modules }, count) {
  const worst = modules.toSorted((a, b) => b.seconds - a.seconds).slice(0, count);
  const row = (seconds, setUp, name) => `${seconds.padStart(9)}${setUp.padStart(9)}  ${name}`;
  return [
    row("seconds", "set-up", `the ${worst.length} slowest of ${modules.length} files`),
    ...worst.map(({ seconds, setUpSeconds, name }) => row(seconds.toFixed(1), setUpSeconds.toFixed(1), name)),
  ];
}

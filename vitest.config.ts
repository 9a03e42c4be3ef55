import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    pool: "forks",
    // Suites wait more than they compute: two leave a third of two cores idle.
    maxWorkers: 3,
    // Beside two others, what is true within a second of its own may take several.
    expect: { poll: { timeout: 10_000 } },
  },
});

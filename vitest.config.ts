import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    globalSetup: ["test/support/database-setup.ts"],
    pool: "forks",
    maxWorkers: 2,
  },
});

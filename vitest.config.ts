import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
import { MAX_WORKERS } from "./test/support/ports.js";

/** `vitest --mode deep` runs everything; otherwise the fast tier, which leaves out whole files and takes smaller numbers. */
export default defineConfig(({ mode }) => ({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(mode === "deep" ? [] : ["test/**/*.deep.test.ts"])],
    provide: { tier: mode === "deep" ? "deep" : "fast", seed: Number(process.env.PITSTOP_SEED ?? 1) },
    // For hangs: a busy machine comes nowhere near them.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 20_000 } },
    pool: "forks",
    maxWorkers: Math.min(Math.max(2, availableParallelism()), MAX_WORKERS),
  },
}));

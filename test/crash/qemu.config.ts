import { defineConfig } from "vitest/config";

/** Emulated machines take minutes a case: they run by hand (run.mjs), and not with every change. */
export default defineConfig({
  test: {
    include: ["test/crash/qemu.ts"],
    provide: { tier: "deep", seed: Number(process.env.PITSTOP_SEED ?? 1) },
    pool: "forks",
  },
});

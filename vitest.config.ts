import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { MAX_WORKERS } from "./test/support/free-port.js";

/** Files whose suites start servers, set globals and live long: a process each. The rooms' own tests share processes. */
const STORIES = ["test/{crash,e2e,images,simulation,workflows}/**/*.test.ts"];
/** Stories take longest, and begin first: no worker is left alone with one at the end. The same order each time. */
class StoriesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const key = ({ moduleId, project }: TestSpecification) => `${project.name === "stories" ? 0 : 1} ${moduleId}`;
    return files.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  }
}

/** `vitest --mode deep` runs everything; otherwise the fast tier, which leaves out whole files and takes smaller numbers. */
export default defineConfig(({ mode }) => {
  // Each project gets these itself: `extends` evaluates this file again, in another mode.
  const provide = { tier: mode === "deep" ? "deep" : "fast", seed: Number(process.env.PITSTOP_SEED ?? 1) } as const;
  const exclude = [...configDefaults.exclude, ...(mode === "deep" ? [] : ["test/**/*.deep.test.ts"])];
  return {
    test: {
      projects: [
        { extends: true, test: { name: "stories", include: STORIES, exclude, provide } },
        {
          extends: true,
          test: {
            name: "rooms",
            include: ["test/**/*.test.ts"],
            exclude: [...exclude, ...STORIES],
            isolate: false,
            provide,
          },
        },
      ],
      globalSetup: ["test/support/database-setup.ts"],
      // For hangs: a busy machine comes nowhere near them.
      testTimeout: 120_000,
      hookTimeout: 300_000,
      expect: { poll: { timeout: 60_000 } },
      sequence: { sequencer: StoriesFirst },
      pool: "forks",
      // Two more than there are cores: the stories wait for machines and deadlines half of their time.
      maxWorkers: Math.min(Math.max(2, availableParallelism() + 2), MAX_WORKERS),
    },
  };
});

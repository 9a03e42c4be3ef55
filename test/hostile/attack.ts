import fc from "fast-check";

/**
 * Every attack is replayable: fast-check prints seed and path of what failed, and `PITSTOP_FUZZ_SEED` (with
 * `PITSTOP_FUZZ_PATH`, where a single case is meant) runs it again. `PITSTOP_FUZZ_RUNS` multiplies the number of cases.
 */
const seed = process.env.PITSTOP_FUZZ_SEED;
const path = process.env.PITSTOP_FUZZ_PATH;
const times = Number(process.env.PITSTOP_FUZZ_RUNS ?? 1);

export const SMALL: { seed?: number; path?: string } = {
  ...(seed === undefined ? {} : { seed: Number(seed) }),
  ...(path === undefined ? {} : { path }),
};

/** What a caller may leave to the machine: a case that failed is not shrunk for longer than this. */
const SHRINK_MS = 60_000;

/** `fc.assert` with the seed of the environment, and an end to shrinking where each case is a request. */
export async function bounded<T>(
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  of: { numRuns: number },
): Promise<void> {
  try {
    await fc.assert(property as fc.IAsyncProperty<T>, {
      ...SMALL,
      numRuns: of.numRuns * times,
      interruptAfterTimeLimit: SHRINK_MS,
      markInterruptAsFailure: false,
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const found = /seed: (-?\d+), path: "([^"]*)"/.exec(said);
    if (found === null) throw error;
    const again = `PITSTOP_FUZZ_SEED=${found[1]} PITSTOP_FUZZ_PATH=${found[2]}`;
    throw new Error(`${said}\n\nRun it again alone with ${again} before the same command.`, { cause: error });
  }
}

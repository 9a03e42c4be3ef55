import fc from "fast-check";
import { perTier, seed } from "../support/tier.js";
import { type Bounds, CASE, judge, TooMuch, watched, withoutGrowth } from "./bounds.js";

/**
 * Every attack is replayable: fast-check prints seed and path of what failed, and `PITSTOP_SEED` (with
 * `PITSTOP_FUZZ_PATH`, where a single case is meant) runs it again. `PITSTOP_FUZZ_RUNS` multiplies the number of cases.
 */
const path = process.env.PITSTOP_FUZZ_PATH;
const times = Number(process.env.PITSTOP_FUZZ_RUNS ?? 1);
const most = perTier("cases of a property, at most", { fast: 50, deep: Number.POSITIVE_INFINITY });

/** A smaller case of what failed is looked for no longer than this: a test has half a minute where it says nothing else. */
const SHRINK_MS = 10_000;

export interface Attack extends Partial<Bounds> {
  numRuns: number;
  /** Where cases follow from each other, a smaller one says nothing. */
  endOnFailure?: boolean;
}

/**
 * `fc.assert` with the seed of this run. A case fails by what it asserts, or by what it takes: processor, time,
 * and memory that all of them leave behind; nothing ends the cases early as if they had passed.
 */
export async function bounded<T>(property: fc.IAsyncProperty<T> | fc.IProperty<T>, of: Attack): Promise<void> {
  const { numRuns, endOnFailure = false, ...bounds } = of;
  const settings = {
    seed,
    ...(path === undefined ? {} : { path }),
    numRuns: Math.min(numRuns, most) * times,
    endOnFailure,
    includeErrorInReport: true,
    plugins: [limits({ ...CASE, ...bounds })],
  };
  watched(settings.seed);
  try {
    await withoutGrowth(async () => fc.assert(property as fc.IAsyncProperty<T>, settings));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const found = /seed: (-?\d+), path: "([^"]*)"/.exec(said);
    if (found === null) throw error;
    const again = `PITSTOP_SEED=${found[1]} PITSTOP_FUZZ_PATH=${found[2]}`;
    throw new Error(`${said}\n\nRun it again alone with ${again} before the same command.`, { cause: error });
  }
}

/** Fails the case that takes too much, and ends shrinking: when its time is over no smaller case is run, as if it passed. */
function limits(bounds: Bounds): fc.Plugin<unknown> {
  return () => {
    let shrinkUntil = Number.POSITIVE_INFINITY;
    type Run = ReturnType<fc.IRawProperty<unknown>["run"]>;
    type Outcome = Awaited<Run>;
    const note = (outcome: Outcome): Outcome => {
      const failed = outcome !== null && !fc.PreconditionFailure.isFailure(outcome);
      if (failed && shrinkUntil === Number.POSITIVE_INFINITY) shrinkUntil = Date.now() + SHRINK_MS;
      return outcome;
    };
    const tooMuch = (error: unknown): Outcome => {
      // Each smaller case would have to take as long again.
      if (error instanceof TooMuch) shrinkUntil = 0;
      return { error };
    };
    return {
      decorateRun: (run) => (value) => {
        if (Date.now() > shrinkUntil) return null as Run;
        try {
          const outcome = judge<Outcome>(bounds, () => run(value));
          return (outcome instanceof Promise ? outcome.catch(tooMuch).then(note) : note(outcome)) as Run;
        } catch (error) {
          return tooMuch(error) as Run;
        }
      },
    };
  };
}

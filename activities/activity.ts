import { setTimeout as delay } from "node:timers/promises";
import { ApplicationFailure, CancelledFailure, Context } from "@temporalio/activity";
import { isRetryable, lackOf, PitstopError } from "../src/domain/errors.js";
import type { FailedEffects } from "./contract.js";

/** Beats often enough that a cancellation is seen within about two seconds; the worker throttles what it sends. */
const HEARTBEAT_MS = 1_000;

/**
 * Turns plain functions into activities: heartbeats while one runs, and its error told in Temporal's terms. The
 * message of a `PitstopError` is made for people and free of secrets; that of anything else stays in the log.
 * `onStart` is told of each attempt.
 */
export function asActivities<T extends object>(
  functions: T,
  log: (message: string, facts: object) => void,
  onStart: (name: string, input: unknown) => void = () => undefined,
): T {
  const wrap =
    (name: string, run: (input: unknown) => Promise<unknown>) =>
    async (input: unknown): Promise<unknown> => {
      const context = Context.current();
      const beat = context.info.isLocal ? null : setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        onStart(name, input);
        return await run(input);
      } catch (error) {
        throw asFailure(error, name, context, log);
      } finally {
        if (beat) clearInterval(beat);
      }
    };
  return Object.fromEntries(
    Object.entries(functions).map(([name, run]) => [name, wrap(name, run as (input: unknown) => Promise<unknown>)]),
  ) as T;
}

function asFailure(thrown: unknown, name: string, context: Context, log: (message: string, facts: object) => void) {
  const error = lackOf(thrown) ?? thrown;
  if (error instanceof CancelledFailure) return error;
  if (context.cancellationSignal.aborted) return new CancelledFailure("cancelled");
  if (error instanceof ApplicationFailure) return error;
  if (error instanceof PitstopError) {
    const { powerActions, mayObeyMs, wrote } = error.facts as Partial<FailedEffects>;
    return ApplicationFailure.create({
      message: error.message,
      type: error.code,
      nonRetryable: !isRetryable(error.code),
      // What was done before it failed belongs into the record as well.
      ...(powerActions || wrote !== undefined
        ? {
            details: [
              {
                powerActions: powerActions ?? [],
                ...(mayObeyMs === undefined ? {} : { mayObeyMs }),
                // An earlier attempt may have written what this one found.
                ...(wrote === undefined ? {} : { wrote: wrote || context.info.attempt > 1 }),
              } satisfies FailedEffects,
            ],
          }
        : {}),
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  log("an activity failed unexpectedly", { activity: name, error: error instanceof Error ? error.stack : message });
  return ApplicationFailure.create({
    message: `Unexpected failure in ${name}; the server's log has it.`,
    type: "internal",
  });
}

/**
 * Aborts when somebody wants the work to stop, and only then. An activity's own signal also aborts where this attempt was
 * given up (its heartbeats did not reach the server, its worker stops): the next attempt goes on with what this one began.
 */
export function askedToStop(): AbortSignal {
  const context = Context.current();
  const asked = new AbortController();
  const look = () => {
    if (context.cancellationDetails?.cancelRequested) asked.abort();
  };
  if (context.cancellationSignal.aborted) look();
  else context.cancellationSignal.addEventListener("abort", look, { once: true });
  return asked.signal;
}

/** The signal of the activity that runs now. */
export const cancellation = (): AbortSignal => Context.current().cancellationSignal;

/** Which attempt of the activity runs now: 1, 2, … */
export const attempt = (): number => Context.current().info.attempt;

/** Waits; throws when the activity is cancelled in the meantime. */
export async function pause(ms: number): Promise<void> {
  const signal = cancellation();
  await delay(ms, undefined, { signal }).catch(() => {
    throw new CancelledFailure("cancelled");
  });
}

/** Growing pauses of a poll: from `firstMs` by half again up to `lastMs`. */
export function* growing(firstMs: number, lastMs: number): Generator<number, never> {
  for (let ms = firstMs; ; ms = Math.min(lastMs, ms * 1.5)) yield ms;
}

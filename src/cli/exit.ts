import { PitstopError } from "../domain/errors.js";
import type { SessionRecord } from "../domain/record.js";

/** What the command's exit code says; the contract of scripts. */
export const EXIT = {
  done: 0,
  /** The work failed, and the target is home. */
  workFailed: 1,
  /** The request was wrong or was refused; nothing was changed by it. */
  usage: 2,
  /** A person must act on a target. */
  stranded: 3,
  /** The server, or what it needs, cannot be reached; the same command may work later. */
  unreachable: 4,
  /** As shells say it of SIGINT. */
  interrupted: 130,
} as const;

export function exitOfError(error: unknown): number {
  if (!(error instanceof PitstopError)) return EXIT.workFailed;
  if (error.code === "unreachable") return EXIT.unreachable;
  return error.code === "internal" ? EXIT.workFailed : EXIT.usage;
}

/** A released target has not been proved home: somebody must look at it, as at a stranded one. */
export function exitOfRecord(record: SessionRecord): number {
  if (wasRefused(record)) return EXIT.usage;
  if (record.ending !== "restored") return EXIT.stranded;
  // A session that only brings its target home has no work that could fail.
  const hadNoWork = record.outcome === null && record.failure === null;
  return record.outcome === "succeeded" || hadNoWork ? EXIT.done : EXIT.workFailed;
}

/** The plan itself was wrong, a parameter or an image that is not there: the session ended before it had looked at its target. */
const wasRefused = ({ untouched, restore, failure }: SessionRecord): boolean =>
  untouched && restore.before === null && (failure?.code === "invalid" || failure?.code === "notFound");

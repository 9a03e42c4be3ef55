import { PitstopError } from "../domain/errors.js";
import { nestingOf } from "../domain/nesting.js";

/** Redfish answers nest about ten levels, expanded collections a few more. */
const MAX_DEPTH = 48;

export type JsonObject = { [key: string]: unknown };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Parses JSON from a machine that is not trusted. Nesting is counted before anything recursive sees the text. */
export function parseJson(text: string): unknown {
  if (nestingOf(text) > MAX_DEPTH) {
    throw new PitstopError("refused", `The answer nests deeper than ${MAX_DEPTH} levels; this is no sane service.`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PitstopError(
      "unreachable",
      "The answer is not valid JSON; the service may be starting. Try again later.",
      {
        cause: error,
      },
    );
  }
}

import { PitstopError } from "../domain/errors.js";

/** An answer whose status says what the agent does (docs/agent-protocol.md, Errors). */
export function refusal(status: 401 | 403 | 404 | 410 | 413 | 422 | 429, sentence: string): PitstopError {
  const code = status === 401 ? "unauthorized" : status === 404 ? "notFound" : "refused";
  return new PitstopError(code, sentence, { facts: { status } });
}

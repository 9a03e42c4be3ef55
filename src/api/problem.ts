import type { FastifyBaseLogger, FastifyReply } from "fastify";
import { type ErrorCode, lackOf, PitstopError } from "../domain/errors.js";
import type { Problem } from "./messages.js";

/** The one mapping from error codes to HTTP; the table in src/domain/errors.ts says what each reader does. */
const STATUS: Record<ErrorCode, { status: number; title: string }> = {
  invalid: { status: 400, title: "The request is not valid" },
  unauthorized: { status: 401, title: "The token or password is not right" },
  notFound: { status: 404, title: "There is no such thing" },
  busy: { status: 409, title: "The target has a session" },
  conflict: { status: 409, title: "Something is there already" },
  refused: { status: 422, title: "Pitstop refuses this as things are" },
  unreachable: { status: 503, title: "A part cannot be reached now" },
  internal: { status: 500, title: "A defect of Pitstop" },
};

/** What is told of an error; `status` is another one where HTTP itself has a better word (413, 415). */
export function problemOf(error: unknown, status?: number): Problem {
  const known = error instanceof PitstopError ? error : fromFramework(error);
  const mapped = STATUS[known.code];
  return {
    type: `urn:pitstop:problem:${known.code}`,
    title: mapped.title,
    status: status ?? httpStatusOf(error) ?? mapped.status,
    detail: known.message,
    code: known.code,
    ...(Object.keys(known.facts).length > 0 ? { facts: known.facts } : {}),
  };
}

/** Answers with the problem. Defects are logged with their cause; what the caller did wrong is not. */
export async function sendProblem(reply: FastifyReply, error: unknown, log: FastifyBaseLogger): Promise<void> {
  const problem = problemOf(error);
  if (problem.status >= 500) log.error({ err: error }, "request failed");
  if (problem.status === 401) reply.header("www-authenticate", 'Bearer realm="pitstop"');
  if (problem.status === 503) reply.header("retry-after", "5");
  await reply.code(problem.status).type("application/problem+json").send(JSON.stringify(problem));
}

/** Fastify's own refusals carry a status below 500; anything else that was thrown is a defect and stays untold. */
function fromFramework(error: unknown): PitstopError {
  const status = httpStatusOf(error);
  if (status === 413)
    return new PitstopError("invalid", "The body is too large; documents go up to 8 MiB, other bodies to 2 MiB.");
  if (status === 415)
    return new PitstopError(
      "invalid",
      "The body's content type is not one that this route takes; /openapi.json says which.",
    );
  if (status !== null && status < 500 && error instanceof Error) {
    return new PitstopError("invalid", `The request cannot be read: ${error.message}.`);
  }
  if (isUnkeepable(error)) {
    return new PitstopError("invalid", "The request has a NUL character or half a character, which cannot be kept.");
  }
  return (
    lackOf(error) ??
    new PitstopError("internal", "Something that should not happen has happened; the server's log has the details.")
  );
}

/** PostgreSQL takes no NUL and no lone surrogate in a text (22021) or in JSON (22P05); both come from the caller. */
function isUnkeepable(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].some((one) => one === "22021" || one === "22P05");
}

function httpStatusOf(error: unknown): number | null {
  if (error instanceof PitstopError) return null;
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === "number" && status >= 400 && status < 600 ? status : null;
}

/**
 * The few error codes of Pitstop. Each is chosen by what its reader will do next:
 *
 * | code | what the reader does | HTTP |
 * |---|---|---|
 * | `invalid` | corrects the input | 400 |
 * | `unauthorized` | brings the right token or password | 401 |
 * | `notFound` | names something that exists | 404 |
 * | `busy` | waits for, or ends, the session that holds the target | 409 |
 * | `conflict` | looks at what is there already | 409 |
 * | `refused` | changes the target, or the request: Pitstop will not do this as things are | 422 |
 * | `unreachable` | waits, or repairs the way there: the same call may go through later | 503 |
 * | `internal` | reports a defect | 500 |
 */
export const ERROR_CODES = [
  "invalid",
  "unauthorized",
  "notFound",
  "busy",
  "conflict",
  "refused",
  "unreachable",
  "internal",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** A problem told in one sentence that says what is wrong and what to do about it. */
export class PitstopError extends Error {
  readonly code: ErrorCode;
  /** Facts for logs and for problem+json; never a secret. */
  readonly facts: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; facts?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PitstopError";
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** Whether the same call may go through later without anyone changing anything. */
export const isRetryable = (code: ErrorCode): boolean => code === "unreachable" || code === "internal";

/** What a person has to correct; whatever else keeps a file from being read (no handle left, a disk error) may pass. */
const WRONG_FILE = ["ENOENT", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG"];

/** How a file that cannot be read is told of. */
export function fileErrorCode(error: unknown): "invalid" | "unreachable" {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code !== "string" || WRONG_FILE.includes(code) ? "invalid" : "unreachable";
}

/** What a host may be without for a while, by the codes of its system calls, and the one of PostgreSQL that says so. */
const LACKS: Record<string, string> = {
  ENOSPC: "its disk is full",
  EDQUOT: "its disk quota is used up",
  EMFILE: "it has no file handle left",
  ENFILE: "it has no file handle left",
  EIO: "its disk does not read or write",
  EROFS: "its disk is read-only",
  "53100": "its disk is full",
};

/** `unreachable` with what this host lacks, where that is why something was thrown: no defect, and it may pass. */
export function lackOf(error: unknown): PitstopError | null {
  const code = (error as { code?: unknown } | null)?.code;
  const lack = typeof code === "string" && Object.hasOwn(LACKS, code) ? LACKS[code] : undefined;
  if (lack === undefined) return null;
  const message = `Pitstop's host cannot keep or read what it must: ${lack} (${code}); put that right, it is used again by itself.`;
  return new PitstopError("unreachable", message, { cause: error });
}

/** The message of anything that was thrown, for a sentence that goes on. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const LISTEN_CODES = ["EADDRINUSE", "EADDRNOTAVAIL", "EACCES"];

/** Why an address cannot be listened on, with the setting that names another; any other error as it was. */
export function listenError(error: unknown, { host, port }: { host: string; port: number }, setting: string): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string" || !LISTEN_CODES.includes(code)) return error;
  const message = `The address ${host}:${port} cannot be listened on (${code}); set ${setting} to a free one.`;
  return new PitstopError("refused", message, { cause: error });
}

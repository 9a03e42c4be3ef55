import pino, { type Logger } from "pino";

/** Keys whose values never reach a log, wherever they stand. */
const SECRET = ["password", "token", "authorization", "nonce", "credentials", "secret"];

/** Messages are constant, facts are fields. JSON lines to standard error, so that standard output stays a program's. */
export function createLog(level: string): Logger {
  const paths = SECRET.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);
  return pino({ level, base: null, redact: { paths, censor: "[redacted]" } }, pino.destination({ fd: 2, sync: false }));
}

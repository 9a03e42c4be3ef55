/** The part of a pino logger that this room uses. Messages are constant; facts are fields, and never hold a secret. */
export interface Log {
  debug(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

export const silent: Log = { debug: () => undefined, warn: () => undefined };

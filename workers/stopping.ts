/** Gets the name of each part as it begins to stop. */
export type Tell = (part: string) => void;

/** A part of a process, with a name to show while it stops. */
export interface Part {
  (tell: Tell): Promise<unknown>;
  /** A part without a name stops in silence. */
  part?: string;
  /** What goes on running when this process ends without stopping the part; null: nothing. */
  leaves?: () => string | null;
}

export const part = (name: string, stop: (tell: Tell) => Promise<unknown>, leaves?: () => string | null): Part =>
  Object.assign((tell: Tell) => stop(tell), { part: name, ...(leaves ? { leaves } : {}) });

/**
 * The terminal sends a Ctrl-C to this process, and npm passes the same one on: it arrives twice within milliseconds. A person
 * who presses again takes longer.
 */
const SAME_PRESS_MS = 700;
const EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;
type Signal = keyof typeof EXIT_CODE;

/** What a process does at its first Ctrl-C (or SIGTERM), and at the second. */
export interface Stop {
  /** Aborted by the first. */
  signal: AbortSignal;
  /** Resolves at the first. */
  asked: Promise<void>;
  /** Names a part as it stops. Silent unless a signal asked for the stop. */
  tell: Tell;
  /** Gives the signals back. */
  end(): void;
}

/**
 * Listens for signals. The first one asks the process to stop its parts in order. The second ends the process at once and
 * says what `left` may go on running.
 */
export function listenForStop(left: () => string[], say: (line: string) => void = console.log): Stop {
  const first = new AbortController();
  let askedAt = 0;
  const hear = (signal: Signal) => {
    if (!first.signal.aborted) {
      askedAt = Date.now();
      // A terminal has just shown ^C.
      say("\nStopping. A second Ctrl-C ends this process at once.");
      first.abort(new Error(`stopped by ${signal}`));
    } else if (Date.now() - askedAt > SAME_PRESS_MS) {
      process.stderr.write(`${sayLeft(left())}\n`);
      process.exit(EXIT_CODE[signal]);
    }
  };
  const hearers = (["SIGINT", "SIGTERM"] as const).map((signal) => [signal, () => hear(signal)] as const);
  for (const [signal, hearer] of hearers) process.on(signal, hearer);
  return {
    signal: first.signal,
    asked: new Promise((resolve) => first.signal.addEventListener("abort", () => resolve(), { once: true })),
    tell: (name) => {
      if (first.signal.aborted) say(`  stopping ${name}`);
    },
    end: () => {
      for (const [signal, hearer] of hearers) process.off(signal, hearer);
    },
  };
}

export function sayLeft(left: string[]): string {
  if (left.length === 0)
    return "Ended at once. Nothing of this process is left running; open sessions go on at the next start.";
  return `Ended at once. This may still be running: ${left.join(", ")}. The next start takes it over, and open sessions go on.`;
}

/** More names than this would hide what stops. */
export const MOST_NAMES = 20;

/** Names the targets whose sessions are open as their server stops. */
export function sayAway(sessions: { target: string; phase: string | null; untouched: boolean }[]): string[] {
  const named = sessions.slice(0, MOST_NAMES).map(({ target, phase, untouched }) => {
    const where = untouched ? "has an open session" : "is away";
    return `  ${target} ${where}${phase === null ? "" : ` (${phase})`}; its session goes on at the next start`;
  });
  const more = sessions.length - named.length;
  return more > 0 ? [...named, `  and ${more} more, whose sessions go on too`] : named;
}

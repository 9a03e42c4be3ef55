/**
 * Tells a person what takes time: one line for each step. `progress` gets how far the step is, about once a second, and
 * shows it in place; null ends the step. Without `progress` the step tells by lines, `LINE_EVERY_MS` apart.
 */
export interface Say {
  (line: string): void;
  progress?(text: string | null): void;
}

/** A log file of a three-minute build then has a dozen lines. */
const LINE_EVERY_MS = 15_000;

/** The progress of one step: in place where `say` can do that, else by lines. */
export function progressOf(say: Say, everyMs = LINE_EVERY_MS): (text: string | null) => void {
  if (say.progress) return (text) => say.progress?.(text);
  let toldAt = Date.now();
  return (text) => {
    if (text === null || Date.now() - toldAt < everyMs) return;
    toldAt = Date.now();
    say(text);
  };
}

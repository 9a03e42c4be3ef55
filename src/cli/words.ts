import { PitstopError } from "../domain/errors.js";

/** The kinds that `get` and `delete` know, by every word that people use for them. */
const WORDS = { target: "targets", image: "images", action: "actions", session: "sessions" } as const;
export type KindWord = (typeof WORDS)[keyof typeof WORDS];

export function kindWord(word: string): KindWord {
  const lower = word.toLowerCase();
  for (const [one, many] of Object.entries(WORDS)) if (lower === one || lower === many) return many;
  throw new PitstopError("invalid", `There is no kind "${word}"; the kinds are targets, images, actions and sessions.`);
}

/** `k=v` of a repeated option, gathered. The value may hold `=`. */
export function pairInto(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new PitstopError("invalid", `"${text}" is not key=value; write for example --param depth=2.`);
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

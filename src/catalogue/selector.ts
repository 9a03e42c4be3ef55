import { PitstopError } from "../domain/errors.js";

const MAX_TERMS = 32;

/** Reads `key=value,key=value`; the empty text selects everything. `invalid` otherwise. */
export function parseSelector(text: string): Record<string, string> {
  const selector: Record<string, string> = {};
  const terms = text.split(",").map((term) => term.trim());
  if (terms.length > MAX_TERMS) throw refuse(text, `it has more than ${MAX_TERMS} terms`);
  for (const term of terms) {
    if (term === "" && terms.length === 1) return {};
    const at = term.indexOf("=");
    const key = term.slice(0, at).trim();
    if (at < 1 || key === "") throw refuse(text, `"${term}" is not key=value`);
    const value = term.slice(at + 1).trim();
    if (selector[key] !== undefined && selector[key] !== value) throw refuse(text, `${key} is there twice`);
    selector[key] = value;
  }
  return selector;
}

const refuse = (text: string, why: string) =>
  new PitstopError(
    "invalid",
    `The selector ${JSON.stringify(text.slice(0, 200))} cannot be read: ${why}; write key=value,key=value.`,
  );

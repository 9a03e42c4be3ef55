import fc from "fast-check";

type Json = Record<string, unknown>;

/** Sets, replaces or takes away what is at a place in a document, found by walking it. */
export function mutate(document: unknown, steps: number[], value: unknown, how: "set" | "drop"): unknown {
  if (typeof document !== "object" || document === null) return value;
  const keys = Object.keys(document);
  const key = keys[(steps[0] ?? 0) % Math.max(1, keys.length)];
  if (key === undefined) return value;
  const copy: Json = Array.isArray(document) ? ([...document] as unknown as Json) : { ...(document as Json) };
  if (steps.length > 1) copy[key] = mutate(copy[key], steps.slice(1), value, how);
  else if (how === "drop") delete copy[key];
  else copy[key] = value;
  return copy;
}

/** The way to a place in a document, and what becomes of it. */
export const place = {
  steps: fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }),
  how: fc.constantFrom("set" as const, "set" as const, "drop" as const),
};

import { z } from "zod";

/** One thing that is wrong with a value: where, and half a sentence that follows the field's path. */
export interface Complaint {
  path: (string | number)[];
  message: string;
  /** The key itself is at fault, not the value under it. */
  aboutKey: boolean;
}

export type Checked<T> = { ok: true; value: T } | { ok: false; complaints: Complaint[] };

/** Parses with the schema's own sentences where it has any, and with ours where zod would use its own. */
export function check<S extends z.ZodType>(schema: S, value: unknown): Checked<z.output<S>> {
  const result = schema.safeParse(value, { error: (issue) => sayIssue(issue) });
  if (result.success) return { ok: true, value: result.data };
  return { ok: false, complaints: result.error.issues.flatMap((issue) => complaintsOf(issue, [])) };
}

/** `control[0].redfish.url`; the empty path is the document itself. */
export function fieldPath(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`),
    "",
  );
}

/** The first complaint as a sentence; how many more there are is said, because they are often consequences of it. */
export function sentenceOf(complaints: readonly Complaint[]): string {
  const [first] = complaints;
  if (!first) return "The value is not valid.";
  const field = fieldPath(first.path);
  const more = complaints.length > 1 ? ` (and ${complaints.length - 1} more)` : "";
  return `${field === "" ? "" : `${field}: `}${first.message}${more}.`;
}

/** Nobody mistypes a longer one; comparing takes time for each letter. */
const MAX_MISTYPED = 64;

/** The known word nearest to a mistyped one: at most a third of its letters may be wrong. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_MISTYPED) return null;
  const lower = word.toLowerCase();
  let best: { word: string; distance: number } | null = null;
  for (const candidate of known) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (best === null || distance < best.distance) best = { word: candidate, distance };
  }
  return best !== null && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.word : null;
}

const kindOf = (value: unknown): string => {
  if (value === undefined) return "nothing";
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  if (typeof value === "string") return "text";
  // What a query says in words becomes this where a number is wanted.
  if (Number.isNaN(value)) return "text";
  if (typeof value === "number") return "a number";
  return typeof value === "boolean" ? "true or false" : typeof value;
};

const expectedKind: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

function sayIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type": {
      if (issue.input === undefined) return "this field is missing";
      const expected = expectedKind[issue.expected] ?? issue.expected;
      const quote = issue.expected === "string" && typeof issue.input !== "object" ? "; put it in quotes" : "";
      return `${expected} is expected here, and this is ${kindOf(issue.input)}${quote}`;
    }
    case "unrecognized_keys":
      return sayUnknownKeys(issue.keys, issue.inst);
    case "invalid_value":
      return sayChoices(
        issue.input,
        issue.values.map((value) => String(value)),
      );
    case "invalid_union":
      if (issue.discriminator !== undefined && issue.errors.length === 0) {
        const given = (issue.input as Record<string, unknown> | undefined)?.[issue.discriminator];
        return sayChoices(given, discriminatorValues(issue));
      }
      return "none of the allowed forms fits";
    case "too_small":
      return `${issue.inclusive === false ? "more than" : "at least"} ${amount(issue.minimum, issue.origin)} is needed here`;
    case "too_big":
      return `${issue.inclusive === false ? "less than" : "at most"} ${amount(issue.maximum, issue.origin)} is allowed here`;
    case "invalid_key":
      return issue.issues[0]?.message ?? "this key is not allowed";
    default:
      return "the value is not valid";
  }
}

function amount(bound: number | bigint, origin: string): string {
  const one = Number(bound) === 1;
  if (origin === "string") return `${bound} ${one ? "character" : "characters"}`;
  return origin === "array" ? `${bound} ${one ? "entry" : "entries"}` : String(bound);
}

function sayChoices(given: unknown, choices: string[]): string {
  const list = choices.length > 1 ? `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}` : (choices[0] ?? "");
  if (given === undefined) return `this field is missing; it is ${list}`;
  const near = typeof given === "string" ? nearest(given, choices) : null;
  return near === null ? `it is ${list}` : `there is no "${given}"; the nearest one is ${near}`;
}

function sayUnknownKeys(keys: readonly string[], schema: unknown): string {
  const shape = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const key = keys[0] ?? "";
  const near = nearest(key, shape);
  return near === null
    ? `there is no such field; the fields here are ${shape.join(", ")}`
    : `there is no such field; the nearest one is ${near}`;
}

/** The allowed values of a discriminated union's field, read from its options. */
function discriminatorValues(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string[] {
  const union = issue.inst;
  if (!(union instanceof z.ZodDiscriminatedUnion) || issue.discriminator === undefined) return [];
  const field = issue.discriminator;
  return union.options.flatMap((option) => {
    const values = (option as z.core.$ZodTypeDiscriminable)._zod.propValues?.[field] ?? new Set();
    return [...values].filter((value) => value !== undefined).map(String);
  });
}

function complaintsOf(issue: z.core.$ZodIssue, above: (string | number)[]): Complaint[] {
  const path = [...above, ...issue.path.map((part) => (typeof part === "number" ? part : String(part)))];
  if (issue.code === "invalid_union" && issue.errors.length > 0) return bestBranch(issue.errors, path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...path, key], message: issue.message, aboutKey: true }));
  }
  return [{ path, message: issue.message, aboutKey: issue.code === "invalid_key" }];
}

/**
 * Of a union's forms, the one that the writer meant: whose own keys were recognised. Where none was, the nearest
 * spelling decides, and otherwise all forms' names are told.
 */
function bestBranch(branches: readonly z.core.$ZodIssue[][], path: (string | number)[]): Complaint[] {
  const strange = (branch: readonly z.core.$ZodIssue[]) =>
    branch.some((i) => i.path.length === 0 && (i.code === "unrecognized_keys" || i.code === "invalid_type"));
  const meant = branches.find((branch) => !strange(branch));
  if (meant) return meant.flatMap((issue) => complaintsOf(issue, path));
  const unknown = branches.flatMap((branch) => branch.filter((i) => i.code === "unrecognized_keys"));
  const spelled = unknown.find((issue) => issue.message.includes("nearest"));
  if (spelled) return complaintsOf(spelled, path);
  const [first] = unknown;
  if (!first) return (branches[0] ?? []).slice(0, 1).flatMap((issue) => complaintsOf(issue, path));
  const forms = [
    ...new Set(branches.flatMap((b) => b.filter((i) => i.path.length === 1).map((i) => String(i.path[0])))),
  ];
  const key = String(first.keys[0]);
  const message =
    forms.length > 0
      ? `there is no such field; the forms here are ${forms.join(", ")}`
      : "none of the allowed forms fits";
  return [{ path: [...path, key], message, aboutKey: true }];
}

/** Levenshtein's distance; both words are bounded by what a field's name may be. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

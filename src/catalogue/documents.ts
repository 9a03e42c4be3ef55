import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  visit,
} from "yaml";
import type { z } from "zod";
import { CatalogueDocument } from "../domain/documents.js";
import { PitstopError } from "../domain/errors.js";
import { type Complaint, check, fieldPath } from "./explain.js";

/** A file is a page that a person wrote or a fleet's export; more than this is neither. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;
/**
 * Words, marks and line ends: some fifteen hundred machines. The parser takes microseconds and a kilobyte for each, and the
 * server does nothing else meanwhile: 8 MiB of `a,` were 40 seconds and 4 GB.
 */
const MAX_PIECES = 200_000;
/** Each use of an anchor counts, nested uses multiply: enough for people, too few for a bomb. */
const MAX_ALIASES = 100;

/** Finding a place walks the document; a person mends a few things at a time. */
const MAX_LOCATED = 100;

/**
 * Reads catalogue documents from YAML (several per file, divided by `---`). Every document is checked before any is
 * returned. Errors are `invalid`: one sentence that begins `file:line:column: field:`.
 */
export function parseDocuments(text: string, fileName: string): CatalogueDocument[] {
  const documents = parseYaml(text, fileName, CatalogueDocument);
  const seen = new Map<string, string>();
  for (const { value, at } of documents) {
    const key = `${value.kind} ${value.name}`;
    const before = seen.get(key);
    if (before !== undefined) {
      throw invalid(at, "name", `${key} is in this file already, at ${before}; keep one of the two`);
    }
    seen.set(key, at);
  }
  return documents.map(({ value }) => value);
}

/** Reads documents of one schema from YAML; `at` is where each begins, as `file:line:column`. */
export function parseYaml<S extends z.ZodType>(
  text: string,
  fileName: string,
  schema: S,
): { value: z.output<S>; at: string }[] {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    throw new PitstopError("invalid", `${fileName} is larger than 8 MiB; divide it into several files.`);
  }
  if (hasMorePieces(text, MAX_PIECES)) {
    throw new PitstopError(
      "invalid",
      `${fileName} has more than ${MAX_PIECES} words and marks; divide it into several files.`,
    );
  }
  const lines = new LineCounter();
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${fileName}:${line}:${col}`;
  };
  const read: { value: z.output<S>; at: string }[] = [];
  for (const document of composed(text, fileName, lines)) {
    if (isEmpty(document)) continue;
    read.push({ value: readDocument(document, schema, place), at: place(document.contents?.range?.[0] ?? 0) });
  }
  if (read.length === 0) {
    throw new PitstopError("invalid", `${fileName}:1:1: there is nothing in this file; write a document into it.`);
  }
  return read;
}

/** Reads no further than it has to, and keeps nothing. */
function hasMorePieces(text: string, most: number): boolean {
  let pieces = 0;
  for (const _piece of new Lexer().lex(text)) {
    pieces += 1;
    if (pieces > most) return true;
  }
  return false;
}

/**
 * One document after the other, so that what is behind a wrong one costs nothing. The parser compares each key with each;
 * that is left to {@link doubledKey}, which a long mapping does not slow down.
 */
function* composed(text: string, fileName: string, lineCounter: LineCounter): Iterable<Document> {
  const composer = new Composer({ prettyErrors: false, logLevel: "silent", uniqueKeys: false });
  try {
    yield* composer.compose(new Parser(lineCounter.addNewLine).parse(text));
  } catch (error) {
    // The parser takes stack for each level.
    if (!(error instanceof RangeError)) throw error;
    throw new PitstopError("invalid", `${fileName}:1:1: it nests too deep; write it flatter.`);
  }
}

/** Where a key is that its mapping has already. */
function doubledKey(document: Document): number | null {
  let at: number | null = null;
  visit(document, {
    Map(_key, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          at = startOf(key) ?? 0;
          return visit.BREAK;
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
  return at;
}

/** No document, or one that nobody meant: `---` with nothing behind it. */
const isEmpty = ({ errors, contents }: Document): boolean =>
  errors.length === 0 && (contents === null || (isScalar(contents) && contents.source === ""));

function readDocument<S extends z.ZodType>(
  document: Document,
  schema: S,
  place: (offset: number) => string,
): z.output<S> {
  const [syntax] = document.errors;
  if (syntax) throw invalid(place(syntax.pos[0]), "", saySyntax(syntax.code, syntax.message));
  const [warning] = document.warnings;
  if (warning) throw invalid(place(warning.pos[0]), "", `${decapitalised(warning.message)}; take it out`);
  const start = document.contents?.range?.[0] ?? 0;
  const doubled = doubledKey(document);
  if (doubled !== null) throw invalid(place(doubled), "", "this key is there twice; keep one of the two");
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw invalid(place(start), "", sayAlias(error));
  }
  const checked = check(schema, value);
  if (checked.ok) return checked.value;
  const located = checked.complaints
    .slice(0, MAX_LOCATED)
    .map((complaint) => ({ complaint, offset: offsetOf(document, complaint) ?? start }))
    .sort((a, b) => a.offset - b.offset);
  const [first] = located;
  const others = checked.complaints.length - 1;
  const more = others > 0 ? ` (and ${others} more in this document)` : "";
  throw invalid(
    place(first?.offset ?? start),
    fieldPath(first?.complaint.path ?? []),
    `${first?.complaint.message ?? "the document is not valid"}${more}`,
    located.map(({ complaint, offset }) => ({
      at: place(offset),
      field: fieldPath(complaint.path),
      message: complaint.message,
    })),
  );
}

function invalid(at: string, field: string, message: string, problems?: unknown[]): PitstopError {
  const text = `${at}: ${field === "" ? "" : `${field}: `}${message}.`;
  return new PitstopError("invalid", text, problems ? { facts: { problems: problems.slice(0, 50) } } : {});
}

function saySyntax(code: string, message: string): string {
  if (code === "TAB_AS_INDENT") return "a tab is used to indent; YAML wants spaces";
  return `this is not valid YAML: ${decapitalised(message).replace(/\.$/, "")}`;
}

const decapitalised = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

function sayAlias(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const unresolved = /Unresolved alias.*: (\S+)$/.exec(message);
  if (unresolved) return `the alias *${unresolved[1]} has no anchor &${unresolved[1]} before it`;
  return "its aliases unfold to too much; write the values out";
}

/** Where the complaint's field begins in the text; for a missing field, where the mapping begins that lacks it. */
function offsetOf(document: Document, complaint: Complaint): number | null {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? null;
  for (const [index, part] of complaint.path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const last = index === complaint.path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item) === String(part));
      if (!pair) return offset;
      if (last && complaint.aboutKey) return startOf(pair.key) ?? offset;
      node = pair.value;
      offset = startOf(pair.value) ?? startOf(pair.key) ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

const keyText = (pair: Pair): string => (isScalar(pair.key) ? String(pair.key.value) : "");
const startOf = (node: unknown): number | null => (node as Node | null | undefined)?.range?.[0] ?? null;

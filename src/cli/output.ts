import { stringify } from "yaml";
import type { Io } from "./io.js";

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof CODES;

export const paint = (io: Io, style: Style, text: string): string =>
  io.colour && text !== "" ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text;

/** Text of documents and machines, fit for a terminal: control characters (escape sequences above all) are shown, not obeyed. */
export const plain = (text: string): string =>
  text.replace(/(?![\t\n])\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

export interface Column<Row> {
  title: string;
  cell: (row: Row) => string;
  style?: (row: Row) => Style | null;
}

/** Columns aligned with spaces; the last one is not padded. */
export function table<Row>(io: Io, columns: Column<Row>[], rows: Row[]): string {
  const cells = rows.map((row) => columns.map((column) => plain(column.cell(row)).replaceAll("\n", " ")));
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((line) => line[i]?.length ?? 0)),
  );
  const pad = (text: string, i: number) => (i === columns.length - 1 ? text : text.padEnd(widths[i] ?? 0));
  const head = columns.map((column, i) => paint(io, "dim", pad(column.title, i))).join("  ");
  const body = rows.map((row, r) =>
    columns.map((column, i) => {
      const style = column.style?.(row) ?? null;
      const text = pad(cells[r]?.[i] ?? "", i);
      return style ? paint(io, style, text) : text;
    }),
  );
  return `${[head, ...body.map((line) => line.join("  "))].map((line) => line.trimEnd()).join("\n")}\n`;
}

/** `label  value` lines; a value of several lines is indented under its label. */
export function facts(io: Io, pairs: [string, string][]): string {
  const width = Math.max(...pairs.map(([label]) => label.length)) + 2;
  return pairs
    .map(([label, value]) => {
      const [first = "", ...rest] = value.split("\n");
      const lines = [paint(io, "dim", label.padEnd(width)) + first, ...rest.map((line) => " ".repeat(width) + line)];
      return `${lines.join("\n").trimEnd()}\n`;
    })
    .join("");
}

export type Format = "json" | "yaml";

/** Machines read this: nothing else is on standard output then. A list is several YAML documents, as `apply` takes them. */
export function structured(value: unknown, format: Format): string {
  if (format === "json") return `${JSON.stringify(value, null, 2)}\n`;
  const documents = Array.isArray(value) ? value : [value];
  return documents.map((document) => stringify(document, { lineWidth: 0 })).join("---\n");
}

/** `0.4s`, `12s`, `3m 05s`, `2h 07m`. */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${s.toFixed(1)}s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole}s`;
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

/** `3m 05s ago`, `2d ago`. */
export function ago(iso: string, now = Date.now()): string {
  const ms = now - Date.parse(iso);
  return ms > 48 * 3_600_000 ? `${Math.floor(ms / 86_400_000)}d ago` : `${duration(ms)} ago`;
}

/** `12:00:01`, as this machine's clock has it. */
export const clock = (iso: string): string => new Date(iso).toTimeString().slice(0, 8);

/** `2026-01-01 12:00:01 (3m 05s ago)`. */
export function when(iso: string): string {
  const date = new Date(iso);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(iso)} (${ago(iso)})`;
}

export const labelText = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");

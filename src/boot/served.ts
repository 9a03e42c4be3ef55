import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Bytes that never change, to be served whole or in ranges. */
export interface Served {
  bytes: number;
  /** The strong ETag without its quotes: another one for other bytes, their SHA-256 where that is known. */
  etag: string;
  type: string;
  /** `end` is inclusive. The stream frees what it holds when it ends or is destroyed. */
  read: (start: number, end: number) => Readable;
  /** Frees what is held when nothing is read. */
  dispose: () => Promise<void>;
  /** An answer went out whose last byte was the one at `end`. */
  onSent?: (end: number) => void;
}

export const servedBuffer = (bytes: Buffer, sha256: string, type: string): Served => ({
  bytes: bytes.length,
  etag: sha256,
  type,
  read: (start, end) => Readable.from([bytes.subarray(start, end + 1)]),
  dispose: async () => {},
});

type Range = { start: number; end: number } | "whole" | "unsatisfiable";

/** One byte range (RFC 9110, section 14.1.2). Several at once, and other units, are answered with the whole, as is allowed. */
export function parseRange(header: string | undefined, bytes: number): Range {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return "whole";
  if (match[1] === "") {
    const suffix = Number(match[2]);
    return suffix === 0 || bytes === 0 ? "unsatisfiable" : { start: Math.max(0, bytes - suffix), end: bytes - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? bytes - 1 : Math.min(Number(match[2]), bytes - 1);
  if (match[2] !== "" && Number(match[2]) < start) return "whole";
  return start >= bytes ? "unsatisfiable" : { start, end };
}

/** Answers GET and HEAD with validators, one range, and memory bounded by the stream's chunks. */
export async function serve(request: FastifyRequest, reply: FastifyReply, served: Served): Promise<FastifyReply> {
  const etag = `"${served.etag}"`;
  reply.header("etag", etag).header("accept-ranges", "bytes").header("cache-control", "no-store");
  if (matches(request.headers["if-none-match"], etag)) {
    await served.dispose();
    return reply.code(304).send();
  }
  const ifRange = request.headers["if-range"];
  const wanted = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = parseRange(wanted, served.bytes);
  if (range === "unsatisfiable") {
    await served.dispose();
    return reply.code(416).header("content-range", `bytes */${served.bytes}`).send();
  }
  const { start, end } = range === "whole" ? { start: 0, end: served.bytes - 1 } : range;
  if (range !== "whole") reply.code(206).header("content-range", `bytes ${start}-${end}/${served.bytes}`);
  reply.type(served.type).header("content-length", end - start + 1);
  if (request.method === "HEAD" || end < start) {
    await served.dispose();
    return reply.send();
  }
  if (served.onSent) reply.raw.once("finish", () => served.onSent?.(end));
  return reply.send(served.read(start, end));
}

const matches = (header: string | undefined, etag: string): boolean =>
  (header ?? "").split(",").some((one) => one.trim() === etag || one.trim() === "*");

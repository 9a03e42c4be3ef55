import type { Socket } from "node:net";
import { PitstopError } from "../domain/errors.js";
import { problemOf } from "./problem.js";

/** Node's own words for what HTTP has a number for; anything else is 400. */
const STATUS: Record<string, { status: number; line: string; sentence: string }> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    line: "Request Header Fields Too Large",
    sentence: "The request's headers are larger than 16 KiB.",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    line: "Request Timeout",
    sentence: "The request was not complete in time; send it again.",
  },
};
const BAD = { status: 400, line: "Bad Request", sentence: "The request cannot be read: it is no HTTP." };

/** What cannot be read as a request has no route and no reply: it is refused in the same form, and its connection ends. */
export function refuseUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const { status, line, sentence } = STATUS[error.code ?? ""] ?? BAD;
  const body = JSON.stringify(problemOf(new PitstopError("invalid", sentence), status));
  const head = [
    `HTTP/1.1 ${status} ${line}`,
    "Content-Type: application/problem+json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  if (socket.writable) socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.destroy(error);
}

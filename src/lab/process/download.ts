import { createHash } from "node:crypto";
import { Agent, request } from "undici";
import { guestConnector } from "../guest-network.js";
import type { Download } from "./ipxe/interpreter.js";

/** Scripts and session archives are kept; kernels and initrds are only counted and digested. */
const KEEP_BYTES = 1024 * 1024;
const MAX_BYTES = 4 * 1024 ** 3;
/** iPXE gives up on a silent server after about as long. */
const SILENCE_MS = 30_000;
const MAX_REDIRECTS = 3;

/** The lab machines' way to boot servers: one pool of connections for all of them. */
export class Downloader {
  readonly #agent: Agent;

  /** `ca`: PEM that HTTPS servers are verified against; null: the system's CAs. */
  constructor(ca: string | null) {
    this.#agent = new Agent({
      connections: 128,
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      connect: guestConnector({ timeout: 10_000, ...(ca === null ? {} : { ca }) }),
    });
  }

  /** Only the status: firmware asks for it before it downloads. */
  async head(url: string, signal: AbortSignal): Promise<number> {
    const { statusCode, body } = await request(url, { method: "HEAD", dispatcher: this.#agent, signal });
    await body.dump();
    return statusCode;
  }

  /**
   * Downloads a file to its last byte and compares it with what the server promised: its Content-Length, and its
   * digest where a header has one. Throws when anything differs.
   */
  async get(url: string, signal: AbortSignal, redirects = 0): Promise<Download> {
    const { statusCode, headers, body } = await request(url, { dispatcher: this.#agent, signal });
    const header = (name: string): string | undefined => {
      const value = headers[name];
      return Array.isArray(value) ? value[0] : value;
    };
    const location = header("location");
    if (statusCode >= 300 && statusCode < 400 && location !== undefined && redirects < MAX_REDIRECTS) {
      await body.dump();
      return this.get(new URL(location, url).href, signal, redirects + 1);
    }
    if (statusCode !== 200) {
      await body.dump();
      throw new Error(`HTTP ${statusCode}`);
    }
    const digest = createHash("sha256");
    const kept: Buffer[] = [];
    let bytes = 0;
    for await (const piece of body) {
      const buffer = piece as Buffer;
      bytes += buffer.length;
      if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
      digest.update(buffer);
      if (bytes <= KEEP_BYTES) kept.push(buffer);
      else kept.length = 0;
    }
    const sha256 = digest.digest("hex");
    const length = header("content-length");
    if (length !== undefined && Number(length) !== bytes)
      throw new Error(`${bytes} bytes came, ${length} were promised`);
    const promised = promisedSha256(header);
    if (promised !== null && promised !== sha256)
      throw new Error(`the bytes have the sha256 ${sha256}, not ${promised}`);
    return { url, bytes, sha256, content: bytes <= KEEP_BYTES ? Buffer.concat(kept) : null };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** A strong ETag of 64 hexadecimal digits, Repr-Digest (RFC 9530), or the older Digest (RFC 3230). */
function promisedSha256(header: (name: string) => string | undefined): string | null {
  const etag = /^"(?:sha256[:-])?([0-9a-f]{64})"$/i.exec(header("etag") ?? "")?.[1];
  if (etag !== undefined) return etag.toLowerCase();
  const base64 =
    /sha-256=:([A-Za-z0-9+/=]+):/.exec(header("repr-digest") ?? "")?.[1] ??
    /sha-256=([A-Za-z0-9+/=]+)/i.exec(header("digest") ?? "")?.[1];
  return base64 === undefined ? null : Buffer.from(base64, "base64").toString("hex");
}

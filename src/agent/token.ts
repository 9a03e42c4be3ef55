import { createHmac, timingSafeEqual } from "node:crypto";

/** Which boot of which session a token speaks for. */
export interface TokenFacts {
  target: string;
  session: string;
  epoch: number;
  bootId: string;
}

const VERSION = "p1";
const MAX_TOKEN = 256;

/**
 * Per-boot tokens: an HMAC-SHA256 of the site's key over session, arming and boot id, beside these in the clear. Nothing
 * is stored, so a site that lost its journal still knows its own tokens; whether the boot is still the session's
 * present one is looked up by the caller.
 */
export class Tokens {
  readonly #key: Uint8Array;

  /** `key`: at least 32 random bytes, of this site alone. */
  constructor(key: Uint8Array) {
    if (key.byteLength < 32) throw new RangeError("a site key has at least 32 bytes");
    this.#key = key;
  }

  mint(facts: TokenFacts): string {
    const session = Buffer.from(facts.session).toString("base64url");
    const body = [VERSION, facts.target, session, facts.epoch, facts.bootId.toLowerCase()].join("~");
    return `${body}~${this.#mac(body).toString("base64url")}`;
  }

  /** What an authentic token says; null for any other text. The MAC is compared in constant time. */
  read(token: string): TokenFacts | null {
    if (token.length > MAX_TOKEN) return null;
    const end = token.lastIndexOf("~");
    const body = token.slice(0, Math.max(0, end));
    const given = Buffer.from(token.slice(end + 1), "base64url");
    const expected = this.#mac(body);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
    const [version, target, session, epoch, bootId] = body.split("~");
    if (version !== VERSION || !target || !session || !epoch || !bootId) return null;
    return { target, session: Buffer.from(session, "base64url").toString(), epoch: Number(epoch), bootId };
  }

  #mac(body: string): Buffer {
    return createHmac("sha256", this.#key).update(body).digest();
  }
}

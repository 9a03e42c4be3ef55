import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PitstopError } from "../domain/errors.js";

const MIN_LENGTH = 16;

/**
 * The operators' token: `PITSTOP_TOKEN`, else the one in `<data>/token` (mode 0600), made at the first start so that the
 * command on the server's machine needs no set-up.
 */
export function operatorToken(config: { PITSTOP_TOKEN?: string | undefined; PITSTOP_DATA: string }): string {
  if (config.PITSTOP_TOKEN) return config.PITSTOP_TOKEN;
  const file = join(config.PITSTOP_DATA, "token");
  mkdirSync(config.PITSTOP_DATA, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flag: "wx", flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const token = readFileSync(file, "utf8").trim();
  if (token.length < MIN_LENGTH) {
    throw new PitstopError("invalid", `${file} has no usable token in it; delete the file and a new one is made.`);
  }
  return token;
}

/** Compares an Authorization header (RFC 6750) with the token in constant time: digests have one length. */
export function carriesToken(header: string | undefined, token: string): boolean {
  const given = /^bearer +([^\s]+) *$/i.exec(header ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

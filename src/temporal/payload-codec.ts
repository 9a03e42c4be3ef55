import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { Payload, PayloadCodec } from "@temporalio/common";
import { messageOf, PitstopError } from "../domain/errors.js";

/** What Temporal's own samples call it, so that its UI and other tools know an encrypted payload when they see one. */
const ENCRYPTED = "binary/encrypted";
const CIPHER = "AES-256-GCM";
/** NIST SP 800-38D: a random 96-bit nonce is safe for 2^32 payloads under one key; rotate long before. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface PayloadKeys {
  /** The key that encrypts; null: nothing is encrypted, and what is encrypted already cannot be read. */
  current: string | null;
  /** Every key that decrypts, 32 bytes each, by its id. */
  all: ReadonlyMap<string, Buffer>;
}

export const NO_KEYS: PayloadKeys = { current: null, all: new Map() };

/**
 * What histories hold, encrypted: arguments, results, signals, updates, summaries and (by `sealed-failures.cts`) the
 * messages of failures. A payload in plain text is read as it is: sessions begun before encryption was turned on go on.
 */
export class SealedPayloads implements PayloadCodec {
  constructor(private readonly keys: PayloadKeys) {}

  async encode(payloads: Payload[]): Promise<Payload[]> {
    const { current, all } = this.keys;
    const key = current === null ? undefined : all.get(current);
    if (current === null || !key) return payloads;
    return payloads.map((payload) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(current));
      const sealed = [nonce, cipher.update(pack(payload)), cipher.final(), cipher.getAuthTag()];
      return { metadata: header(current), data: Buffer.concat(sealed) };
    });
  }

  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((payload) => (isSealed(payload) ? this.#open(payload) : payload));
  }

  #open(payload: Payload): Payload {
    const id = textOf(payload.metadata?.["encryption-key-id"]);
    const key = this.keys.all.get(id);
    if (!key) {
      const have = [...this.keys.all.keys()].join(", ") || "none";
      throw new PitstopError(
        "refused",
        `A session's history is encrypted with the payload key "${id}", and the keys here are: ${have}. Give PITSTOP_PAYLOAD_KEY that key too.`,
      );
    }
    const data = Buffer.from(payload.data ?? []);
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, data.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(id));
      decipher.setAuthTag(data.subarray(-TAG_BYTES));
      return unpack(Buffer.concat([decipher.update(data.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]));
    } catch (error) {
      throw new PitstopError(
        "refused",
        `A session's history was encrypted with another payload key "${id}" than the one here, or was changed since (${messageOf(error)}). Give PITSTOP_PAYLOAD_KEY the key that it was encrypted with.`,
        { cause: error },
      );
    }
  }
}

export const isSealed = (payload: Payload): boolean => textOf(payload.metadata?.encoding) === ENCRYPTED;

const textOf = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString("utf8");

const header = (id: string): Record<string, Uint8Array> => ({
  encoding: Buffer.from(ENCRYPTED),
  "encryption-cipher": Buffer.from(CIPHER),
  "encryption-key-id": Buffer.from(id),
});

/** A payload as bytes: the length of its metadata (4 bytes, big endian), its metadata as JSON, its data. */
function pack({ metadata, data }: Payload): Buffer {
  const entries = Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString("base64")]);
  const head = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  // Nothing, as an update without a result returns it, comes out of a workflow's sandbox as an empty list.
  return Buffer.concat([length, head, Buffer.from(data ?? [])]);
}

function unpack(bytes: Buffer): Payload {
  const end = 4 + bytes.readUInt32BE(0);
  const head = JSON.parse(bytes.subarray(4, end).toString("utf8")) as Record<string, string>;
  const metadata = Object.fromEntries(
    Object.entries(head).map(([name, value]) => [name, Buffer.from(value, "base64")]),
  );
  return { metadata, data: bytes.subarray(end) };
}

/**
 * Opens every payload in anything that came from Temporal, for the sake of the refusal when one cannot be opened.
 * Returns how many were encrypted.
 */
export async function openAll(found: unknown, codec: PayloadCodec): Promise<number> {
  if (typeof found !== "object" || found === null || found instanceof Uint8Array) return 0;
  const { metadata, data } = found as Payload;
  if (metadata && data && isSealed(found as Payload)) {
    await codec.decode([found as Payload]);
    return 1;
  }
  let count = 0;
  for (const part of Object.values(found)) count += await openAll(part, codec);
  return count;
}

import { createHmac, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import { type Config, dataFolder } from "../src/config.js";
import { readReference } from "../src/control/credentials.js";
import { CredentialRef } from "../src/domain/basics.js";
import { messageOf, PitstopError } from "../src/domain/errors.js";
import { writeAtomically } from "../src/stores/atomic.js";
import { NO_KEYS, type PayloadKeys } from "../src/temporal/payload-codec.js";

const KEY_BYTES = 32;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,62}):([A-Za-z0-9+/_-]+={0,2})$/;

/**
 * The keys that `PITSTOP_PAYLOAD_KEY` refers to: one `id:base64 of 32 bytes` a line. The first encrypts, all decrypt.
 * Errors: `invalid`, naming the line and never what is in it.
 */
export async function payloadKeys(config: Pick<Config, "PITSTOP_PAYLOAD_KEY" | "PITSTOP_DATA">): Promise<PayloadKeys> {
  if (!config.PITSTOP_PAYLOAD_KEY) return NO_KEYS;
  const text = await readReference(referenceIn(config.PITSTOP_PAYLOAD_KEY), { root: config.PITSTOP_DATA }).catch(
    (error: unknown) => {
      throw wrong(messageOf(error), error);
    },
  );
  const all = new Map<string, Buffer>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, id = "", encoded = ""] = LINE.exec(line.trim()) ?? [];
    const key = Buffer.from(encoded, "base64");
    if (key.length !== KEY_BYTES) throw wrong(`Its line ${at + 1} is not "id:base64 of ${KEY_BYTES} bytes"; ${MAKE}`);
    if (all.has(id)) throw wrong(`Two of its keys have the id "${id}"; give each key an id of its own.`);
    all.set(id, key);
  }
  const [current] = all.keys();
  if (!current) throw wrong(`There is no key in it; ${MAKE}`);
  return { current, all };
}

const MAKE = 'make one by: echo "k1:$(openssl rand -base64 32)"';

/** As it stands in `pitstop.yaml`, on one line: `{file: keys/payload}`. */
function referenceIn(setting: string): CredentialRef {
  let value: unknown;
  try {
    value = parseYaml(setting);
  } catch {
    value = null;
  }
  const parsed = CredentialRef.safeParse(value);
  if (!parsed.success) {
    throw wrong('It is a reference, "{file: PATH}", "{env: NAME}" or "{exec: [PROGRAM, ...]}", and never a key.');
  }
  return parsed.data;
}

/**
 * Refuses a key that has changed under its id: no session begun with the old one could be read any more. What is kept of
 * a key is an HMAC of a constant, which says nothing about it.
 */
export async function refuseChangedKeys(config: Config, keys: PayloadKeys): Promise<void> {
  if (keys.all.size === 0) return;
  const file = join(dataFolder(config), "payload-keys.json");
  const known: Record<string, string> = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const before = JSON.stringify(known);
  for (const [id, key] of keys.all) {
    const mark = createHmac("sha256", key).update("pitstop payload key").digest();
    const seen = Buffer.from(known[id] ?? mark.toString("hex"), "hex");
    if (seen.length !== mark.length || !timingSafeEqual(seen, mark)) {
      throw wrong(
        `The key "${id}" is not the one that this server has used under that id; put the old one back, and give the new key an id of its own on a line above it.`,
      );
    }
    known[id] = mark.toString("hex");
  }
  if (JSON.stringify(known) !== before)
    await writeAtomically(file, async (handle) => await handle.writeFile(`${JSON.stringify(known, null, 2)}\n`));
}

const wrong = (why: string, cause?: unknown) =>
  new PitstopError("invalid", `The setting PITSTOP_PAYLOAD_KEY is not usable: ${why}`, { cause });

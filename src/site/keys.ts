import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { PitstopError } from "../domain/errors.js";
import { writeAtomically } from "../stores/atomic.js";

const KEY_BYTES = 32;

/**
 * Ensures a key of 32 random bytes in a file of mode 0600. The site makes it once: tokens minted with it outlive a lost
 * journal. `internal` where the file has another length.
 */
export async function ensureKey(path: string): Promise<Uint8Array> {
  let key: Buffer | null = null;
  try {
    key = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  if (key === null) {
    const made = randomBytes(KEY_BYTES);
    await writeAtomically(path, (handle) => handle.writeFile(made));
    return made;
  }
  if (key.length === KEY_BYTES) return key;
  throw new PitstopError("internal", `${path} is not a key of ${KEY_BYTES} bytes; remove it and start again.`);
}

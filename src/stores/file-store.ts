import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PitstopError } from "../domain/errors.js";
import { ensureFolder, writeAtomically } from "./atomic.js";
import type { ObjectStore } from "./store.js";

const DIGEST = /^[0-9a-f]{64}$/;

/** Objects larger than this are images, and images go through the cache: 64 MiB, four times the largest log. */
const MAX_OBJECT_BYTES = 64 * 1024 * 1024;

/**
 * Bytes by digest in a folder: `<aa>/<sha256>`, where `aa` are the digest's first two digits, so that no folder grows
 * beyond what file systems like. Two processes may share the folder: an object is written under a name of its own
 * and then renamed, and both names of the same bytes are the same object.
 */
export function openFileStore(folder: string): ObjectStore {
  const pathOf = (sha256: string): string => {
    if (!DIGEST.test(sha256)) throw new PitstopError("invalid", "An object is named by 64 lower-case hex digits.");
    return join(folder, sha256.slice(0, 2), sha256);
  };
  const has = async (sha256: string): Promise<boolean> => {
    try {
      return (await stat(pathOf(sha256))).isFile();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  };
  return {
    has,
    async put(bytes) {
      if (bytes.byteLength > MAX_OBJECT_BYTES) {
        throw new PitstopError("refused", `An object has at most ${MAX_OBJECT_BYTES} bytes; keep images as files.`);
      }
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      // A present object that fails its digest is replaced: the caller has the right bytes in hand.
      if ((await has(sha256)) && (await verifies(pathOf(sha256), sha256))) return sha256;
      await ensureFolder(dirname(pathOf(sha256)));
      await writeAtomically(pathOf(sha256), async (handle) => {
        await handle.writeFile(bytes);
      });
      return sha256;
    },
    async get(sha256) {
      const path = pathOf(sha256);
      let bytes: Buffer;
      try {
        bytes = await readFile(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        throw new PitstopError("notFound", `The store has no object ${sha256}; run what made it again.`);
      }
      if (createHash("sha256").update(bytes).digest("hex") !== sha256) {
        throw new PitstopError(
          "internal",
          `The object ${sha256} has other bytes on disk; check the disk at ${folder}.`,
        );
      }
      return bytes;
    },
  };
}

async function verifies(path: string, sha256: string): Promise<boolean> {
  return (
    createHash("sha256")
      .update(await readFile(path))
      .digest("hex") === sha256
  );
}

import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, join, resolve, sep } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Config, dataFolder } from "../config.js";
import { messageOf, PitstopError } from "../domain/errors.js";
import type { ImageFile } from "../domain/image.js";
import type { Io } from "./io.js";

const MAX_BYTES = 16 * 1024 ** 3;
/** Without a byte for so long, a server is taken for dead. */
const SILENCE_MS = 60_000;

/** SHA-256 of a local file. */
export async function digestOfFile(io: Io, file: string): Promise<string> {
  return await digestOfPath(resolve(io.cwd, file), file);
}

/** SHA-256 of what an image's URL holds now, as this machine reaches it; `file:` is below this machine's `PITSTOP_DATA`. */
export async function digestOfUrl(config: Config, url: string): Promise<string> {
  if (url.startsWith("file:")) return await digestOfPath(pathOf(config, url), url);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error(`no byte for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
  try {
    const response = await fetch(url, { signal: silence.signal });
    if (!response.ok || !response.body) throw new Error(`it answers ${response.status}`);
    return await digestOf(response.body, () => timer.refresh());
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
    throw new PitstopError("unreachable", `${url} cannot be read: ${why}; see that it is served.`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Copies a file into `PITSTOP_DATA/images/<image>/`, whole or not at all, unless it lies below `PITSTOP_DATA/images`
 * already.
 */
export async function keepImageFile(io: Io, config: Config, image: string, file: string): Promise<ImageFile> {
  const images = dataFolder(config, "images");
  const source = resolve(io.cwd, file);
  if (source.startsWith(images + sep)) {
    const inside = source
      .slice(images.length + 1)
      .split(sep)
      .join("/");
    return { url: `file:images/${inside}`, sha256: await digestOfPath(source, file) };
  }
  const name = basename(source);
  const draft = join(images, image, `.${name}.${randomBytes(6).toString("hex")}`);
  mkdirSync(join(images, image), { recursive: true, mode: 0o700 });
  const hash = createHash("sha256");
  const tee = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  try {
    await pipeline(createReadStream(source), tee, createWriteStream(draft, { mode: 0o600, flush: true }));
    renameSync(draft, join(images, image, name));
  } catch (error) {
    rmSync(draft, { force: true });
    throw unreadable(file, error);
  }
  return { url: `file:images/${image}/${name}`, sha256: hash.digest("hex") };
}

function pathOf(config: Config, url: string): string {
  const path = resolve(config.PITSTOP_DATA, url.slice("file:".length));
  if (path.startsWith(join(config.PITSTOP_DATA, "images") + sep)) return path;
  throw new PitstopError("invalid", `${url} leaves PITSTOP_DATA/images; correct the image.`);
}

async function digestOfPath(path: string, shown: string): Promise<string> {
  try {
    return await digestOf(createReadStream(path), () => {});
  } catch (error) {
    throw unreadable(shown, error);
  }
}

async function digestOf(stream: AsyncIterable<Uint8Array>, onBytes: () => void): Promise<string> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    onBytes();
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error("it is larger than 16 GiB");
    hash.update(chunk);
  }
  return hash.digest("hex");
}

function unreadable(file: string, error: unknown): PitstopError {
  const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "it does not exist" : messageOf(error);
  return new PitstopError(
    "invalid",
    `The file ${file} cannot be read: ${why}; correct the path, or run this on the server's machine.`,
    {
      cause: error,
    },
  );
}

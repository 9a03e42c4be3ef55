import { PitstopError } from "../domain/errors.js";
import type { Source, SourceOptions } from "./source.js";
import { openFileSource } from "./source-file.js";
import { openHttpSource } from "./source-http.js";

/** Opens an image URL by its scheme: one file per scheme. */
export async function openSource(url: string, options: SourceOptions, signal: AbortSignal): Promise<Source> {
  if (url.startsWith("file:")) return await openFileSource(url, options);
  if (url.startsWith("https://") || url.startsWith("http://")) return await openHttpSource(url, options, signal);
  throw new PitstopError("invalid", `Images are read from file:, https:// or http:// URLs, not from ${scheme(url)}.`);
}

const scheme = (url: string): string => JSON.stringify(url.slice(0, url.indexOf(":") + 1).slice(0, 16));

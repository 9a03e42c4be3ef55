import type { IncomingHttpHeaders } from "node:http";
import { Agent, request } from "undici";
import { messageOf, PitstopError } from "../domain/errors.js";
import { DEFAULT_MAX_BYTES, type Source, type SourceOptions } from "./source.js";

/** RFC 9110 leaves the number to the client; five is what curl's and browsers' users ever see in practice. */
const MAX_REDIRECTS = 5;
/** Few connections: images are few and large. */
const dispatcher = new Agent({ connect: { timeout: 10_000 }, connections: 8, maxHeaderSize: 32 * 1024 });

/**
 * `https:` and `http:` sources. No credentials are ever sent, so none can follow a redirect to another host; a redirect
 * from https to http is refused, because it gives away what the first URL promised. The digest is compared by the caller.
 */
export async function openHttpSource(url: string, options: SourceOptions, signal: AbortSignal): Promise<Source> {
  let at = parse(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await get(at, options, signal);
    if (answer.statusCode >= 300 && answer.statusCode < 400) {
      answer.body.on("error", () => {}).destroy();
      at = redirected(at, answer.headers);
      continue;
    }
    if (answer.statusCode !== 200) {
      answer.body.on("error", () => {}).destroy();
      throw new PitstopError(
        answer.statusCode >= 500 || answer.statusCode === 429 ? "unreachable" : "notFound",
        `${named(at)} answered ${answer.statusCode}; correct the image's URL or the server.`,
      );
    }
    const announced = Number(answer.headers["content-length"] ?? Number.NaN);
    const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    if (announced > maxBytes) {
      answer.body.on("error", () => {}).destroy();
      throw new PitstopError("refused", `${named(at)} announces ${announced} bytes and the limit is ${maxBytes}.`);
    }
    return { stream: answer.body, bytes: Number.isSafeInteger(announced) ? announced : null };
  }
  throw new PitstopError(
    "refused",
    `${named(parse(url))} redirects more than ${MAX_REDIRECTS} times; name the final URL.`,
  );
}

async function get(at: URL, options: SourceOptions, signal: AbortSignal) {
  const idleMs = options.idleTimeoutMs ?? 60_000;
  try {
    return await request(at, {
      method: "GET",
      signal,
      dispatcher,
      headersTimeout: idleMs,
      bodyTimeout: idleMs,
      // Compressed in transfer, the bytes would not be those of the digest.
      headers: { "accept-encoding": "identity", "user-agent": "pitstop" },
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new PitstopError("unreachable", `${at.origin} cannot be reached: ${messageOf(error)}.`, { cause: error });
  }
}

function redirected(from: URL, headers: IncomingHttpHeaders): URL {
  const location = headers.location;
  if (typeof location !== "string") {
    throw new PitstopError("refused", `${named(from)} redirects to nowhere; name the final URL.`);
  }
  const to = parse(new URL(location, from).href);
  if (from.protocol === "https:" && to.protocol !== "https:") {
    throw new PitstopError("refused", `${named(from)} redirects from https to http; name the final URL.`);
  }
  return to;
}

/** Without its query: where a redirect led, that may be a signature, which is a secret for its time. */
const named = (url: URL): string => `${url.origin}${url.pathname}`;

function parse(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new PitstopError(
      "refused",
      `${JSON.stringify(text.split("?")[0]?.slice(0, 200))} is not an http or https URL.`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new PitstopError("refused", `${url.host} is named with a user or password in the URL; leave them out.`);
  }
  return url;
}

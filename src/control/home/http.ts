import { Client } from "undici";
import { PitstopError } from "../../domain/errors.js";
import type { HomeAnswer } from "../../domain/snapshot.js";
import type { HomeCheck } from "../../domain/target.js";
import { isObject, type JsonObject, parseJson } from "../json.js";
import { faultOfThrown } from "../redfish/faults.js";
import { readTrust, trustedConnector } from "../tls.js";
import { type HomeDeps, inTime, noAnswer } from "./answer.js";

type HttpCheck = Extract<HomeCheck, { http: unknown }>["http"];

const CONNECT_MS = 5_000;
/** A health page is small; what is larger is no health page. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_FACTS = 32;
const MAX_TEXT = 256;

/**
 * Asks the target's own system over HTTP. A JSON object with `machineId` and `bootId` is what strong proof is made of;
 * any other answer with status 200 (and the text that the check wants) is weak. Redirects are not followed.
 */
export async function askHttp(check: HttpCheck, deps: HomeDeps): Promise<HomeAnswer> {
  const name = `http ${check.url}`;
  const url = new URL(check.url);
  try {
    const connector = trustedConnector(await readTrust(check.tls, deps.root ?? process.cwd()), CONNECT_MS);
    const { status, text } = await inTime(deps, (signal) => get(url, connector, signal));
    if (status !== 200) return noAnswer(name, `it answered with status ${status}`);
    if (check.contains !== undefined && !text.includes(check.contains)) {
      return noAnswer(name, `its answer does not contain ${JSON.stringify(check.contains)}`);
    }
    return { ...noAnswer(name, ""), answered: true, reason: null, ...identityIn(text) };
  } catch (error) {
    // The document is wrong, or a certificate is not the pinned one: that is told, not waited for.
    if (error instanceof PitstopError && error.code === "invalid") throw error;
    return noAnswer(name, faultOfThrown(error, "the home check", url.host).message);
  }
}

async function get(url: URL, connect: Client.Options["connect"], signal: AbortSignal) {
  const client = new Client(url.origin, { ...(connect ? { connect } : {}), maxResponseSize: MAX_BODY_BYTES });
  try {
    const { statusCode, body } = await client.request({
      method: "GET",
      path: url.pathname + url.search,
      headers: { accept: "application/json, text/plain;q=0.9, */*;q=0.5", "user-agent": "pitstop" },
      signal,
    });
    return { status: statusCode, text: await body.text() };
  } finally {
    await client.destroy();
  }
}

/** Ids and scalar facts of a JSON answer; nothing of any other. */
function identityIn(text: string): Pick<HomeAnswer, "machineId" | "bootId" | "facts"> {
  const body = objectIn(text);
  const { machineId, bootId, ...rest } = body;
  const facts: HomeAnswer["facts"] = {};
  for (const [key, value] of Object.entries(rest).slice(0, MAX_FACTS)) {
    if (key.length > 64) continue;
    if (typeof value === "string") facts[key] = value.slice(0, MAX_TEXT);
    if (typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))) facts[key] = value;
  }
  return { machineId: idOf(machineId), bootId: idOf(bootId), facts };
}

function objectIn(text: string): JsonObject {
  if (!text.trimStart().startsWith("{")) return {};
  try {
    const value = parseJson(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

const idOf = (value: unknown): string | null =>
  typeof value === "string" && value !== "" && value.length <= 128 ? value : null;

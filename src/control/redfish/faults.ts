import { type ErrorCode, messageOf, PitstopError } from "../../domain/errors.js";
import { isObject } from "../json.js";

/** An answer of a BMC, whatever its status. `body` is null where there is no JSON object. */
export interface Answer {
  status: number;
  headers: Headers;
  body: { [key: string]: unknown } | null;
}

/** One entry of `@Message.ExtendedInfo` (DSP0266, "Error responses"). `id` is without registry and version. */
export interface BmcMessage {
  id: string;
  text: string;
}

const MAX_MESSAGES = 8;
const MAX_TEXT = 300;

/** What the BMC said of its refusal. Its text is untrusted: one line, bounded. */
export function messagesOf(body: unknown): BmcMessage[] {
  const error = isObject(body) && isObject(body.error) ? body.error : body;
  if (!isObject(error)) return [];
  const info = error["@Message.ExtendedInfo"];
  const entries = Array.isArray(info) ? info : isObject(info) ? [info] : [];
  const told = entries.slice(0, MAX_MESSAGES).filter(isObject).map(messageFrom);
  if (told.length > 0) return told;
  return typeof error.message === "string" ? [messageFrom({ MessageId: error.code, Message: error.message })] : [];
}

const messageFrom = (entry: { [key: string]: unknown }): BmcMessage => ({
  id: typeof entry.MessageId === "string" ? (entry.MessageId.split(".").at(-1) ?? "").slice(0, 100) : "",
  text: typeof entry.Message === "string" ? oneLine(entry.Message) : "",
});

const oneLine = (text: string): string =>
  text
    .slice(0, MAX_TEXT)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out here
    .replace(/[\u0000-\u0020\u007f]+/g, " ")
    .trim();

/** The registries' message ids that say more than the status does (Base, and vendors' own). */
const codeByMessage: Record<string, ErrorCode> = {
  ServiceTemporarilyUnavailable: "unreachable",
  ServiceShuttingDown: "unreachable",
  ServiceInUnknownState: "unreachable",
  ResourceInUse: "unreachable",
  ResourceInStandby: "unreachable",
  OperationTimeout: "unreachable",
  SessionLimitExceeded: "unreachable",
  CreateLimitReachedForResource: "unreachable",
  InsufficientPrivilege: "unauthorized",
  PasswordChangeRequired: "unauthorized",
  NoValidSession: "unauthorized",
  AuthenticationTokenRequired: "unauthorized",
};

/** By status where no message decides. 500 is retried: BMCs answer it while they are busy with themselves. */
const codeByStatus: Record<number, ErrorCode> = {
  401: "unauthorized",
  403: "unauthorized",
  408: "unreachable",
  425: "unreachable",
  429: "unreachable",
  500: "unreachable",
  502: "unreachable",
  503: "unreachable",
  504: "unreachable",
};

/** The one place where a BMC's refusal gets its code. `did` is what was asked, for the sentence. */
export function faultOf(answer: Answer, did: string, extraRetryable: readonly string[] = []): PitstopError {
  const messages = messagesOf(answer.body);
  const facts = { status: answer.status, messageIds: messages.map((m) => m.id) };
  const byMessage = messages.map((m) => (extraRetryable.includes(m.id) ? "unreachable" : codeByMessage[m.id]));
  const code = byMessage.find((c) => c !== undefined) ?? codeByStatus[answer.status] ?? byRange(answer.status);
  const said = messages.map((m) => m.text || m.id).filter((t) => t !== "");
  const why = said.length > 0 ? `${answer.status}: ${said.join(" ")}` : `${answer.status}`;
  return new PitstopError(code, `The BMC refused ${did} (${why})${remedyOf(code)}`, { facts });
}

const byRange = (status: number): ErrorCode => (status >= 400 && status < 600 ? "refused" : "internal");

function remedyOf(code: ErrorCode): string {
  if (code === "unauthorized") return "; give the account the rights to configure and power this system.";
  if (code === "unreachable") return "; it may accept it later.";
  return ".";
}

const certificateCodes = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "INVALID_CA",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

/** What a socket, TLS or HTTP failure means. A `PitstopError` (a wrong fingerprint, say) passes unchanged. */
export function faultOfThrown(error: unknown, did: string, host: string): PitstopError {
  for (let e: unknown = error, depth = 0; e !== undefined && e !== null && depth < 5; depth++) {
    if (e instanceof PitstopError) return e;
    e = e instanceof Error ? e.cause : undefined;
  }
  const code = codeOf(error);
  if (certificateCodes.has(code)) {
    return new PitstopError(
      "refused",
      `The certificate of ${host} is not trusted (${code}); nothing was sent. ` +
        "Give its fingerprint in tls.fingerprint256, or its CA in tls.ca.",
      { cause: error },
    );
  }
  if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE") {
    return new PitstopError("refused", `${host} answered ${did} with more than Pitstop reads from a BMC.`, {
      cause: error,
    });
  }
  return new PitstopError(
    "unreachable",
    `${host} did not answer ${did} (${code || messageOf(error)}); see whether the BMC is up and the way there is open.`,
    { cause: error, facts: { socket: code } },
  );
}

/** A failure with no sentence of its own, such as a library's: a BMC whose answer has not the form of Redfish. */
export function faultOfShape(error: unknown, did: string, host: string): PitstopError {
  if (error instanceof PitstopError) return error;
  return new PitstopError(
    "unreachable",
    `${host} answered ${did} with something that is not Redfish; it may be starting. Try again later.`,
    { cause: error },
  );
}

const codeOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  return error.name === "TimeoutError" ? "TIMEOUT" : codeOf(error.cause);
};

/** Milliseconds of a `Retry-After` header (seconds or a date), clamped; `otherwise` where there is none. */
export function retryAfterMs(headers: Headers, otherwise: number, max: number, now: number): number {
  const text = headers.get("retry-after");
  if (text === null) return otherwise;
  const ms = /^\d{1,9}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), max) : otherwise;
}

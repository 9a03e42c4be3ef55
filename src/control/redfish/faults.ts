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
  /** `MessageArgs` and `RelatedProperties`: what the message is about, where its text does not say. */
  about: string[];
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
  about: [...textsOf(entry.MessageArgs), ...textsOf(entry.RelatedProperties)],
});

const textsOf = (given: unknown): string[] =>
  Array.isArray(given)
    ? given
        .slice(0, MAX_MESSAGES)
        .filter((one) => typeof one === "string")
        .map(oneLine)
    : [];

/** `namesIn` tells which of these names a refusal speaks of, in a text or in what it is about; whole words only. */
export function namesIn(body: unknown, names: readonly string[]): string[] {
  const words = messagesOf(body).flatMap((message) => [message.text, ...message.about]);
  return names.filter((name) => words.some((text) => new RegExp(`(^|[^A-Za-z])${name}($|[^A-Za-z])`).test(text)));
}

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
  CreateLimitReached: "unreachable",
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
  const remedy = facts.messageIds.includes(PASSWORD_CHANGE) ? CHANGE_PASSWORD : remedyOf(code);
  return new PitstopError(code, `The BMC refused ${did} (${why})${remedy}`, { facts });
}

/** DSP2065 (Base registry): the password is right, and opens nothing until it was changed. */
export const PASSWORD_CHANGE = "PasswordChangeRequired";
const CHANGE_PASSWORD = "; the account's password must be changed at the BMC first.";

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

/** Codes of OpenSSL and Node for a service that speaks older TLS than 1.2, or with keys that no longer count. */
const OLD_TLS = new Set([
  "ERR_SSL_UNSUPPORTED_PROTOCOL",
  "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  "ERR_SSL_SSL/TLS_ALERT_PROTOCOL_VERSION",
  "ERR_SSL_WRONG_SSL_VERSION",
  "ERR_SSL_NO_PROTOCOLS_AVAILABLE",
  "ERR_SSL_DH_KEY_TOO_SMALL",
  "ERR_SSL_EE_KEY_TOO_SMALL",
  "ERR_SSL_CA_MD_TOO_WEAK",
  "ERR_SSL_NO_SHARED_CIPHER",
  "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
  "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
]);

/** A CA helps where none vouches; where the name or the date is wrong, only the fingerprint does. */
const certificateRemedy = (code: string): string =>
  code === "ERR_TLS_CERT_ALTNAME_INVALID"
    ? "Use the name that the certificate is for in control.redfish.url, or give its fingerprint in tls.fingerprint256."
    : code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID"
      ? "Renew it, set this machine's clock right, or give its fingerprint in tls.fingerprint256."
      : "Give its fingerprint in tls.fingerprint256, or the CA that signed it in tls.ca.";

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
      `The certificate of ${host} is not trusted (${code}); nothing was sent. ${certificateRemedy(code)}`,
      { cause: error },
    );
  }
  if (OLD_TLS.has(code)) {
    return new PitstopError(
      "refused",
      `${host} speaks no TLS 1.2 with keys that Pitstop trusts (${code}); nothing was sent. Update the BMC's firmware.`,
      { cause: error },
    );
  }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
    return new PitstopError(
      "refused",
      `${host} does not answer in TLS (${code}); nothing was sent. Correct the port in control.redfish.url.`,
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

import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expandQuery } from "./expand.js";
import { type ExtendedInfo, errorBody, RedfishError, refuse } from "./messages.js";
import { type BmcParts, type Json, patchResource, type Reply, type Resource } from "./resource.js";
import { accountResources } from "./resources/accounts.js";
import { chassisResources } from "./resources/chassis.js";
import { managerResources } from "./resources/manager.js";
import { rootResources } from "./resources/root.js";
import { sessionResource, sessionResources } from "./resources/sessions.js";
import { settingsResource, systemResources } from "./resources/system.js";
import { bootOptionResource, systemPartResources } from "./resources/system-parts.js";
import { virtualMediaResources } from "./resources/virtual-media.js";

/** No request of a Redfish client comes near it. */
const MAX_BODY_BYTES = 64 * 1024;

/** The Redfish protocol (DSP0266) over the resources of one BMC. */
export class RedfishService {
  readonly #parts: BmcParts;
  readonly #resources: Map<string, Resource>;

  constructor(parts: BmcParts) {
    this.#parts = parts;
    const resources = [
      ...rootResources(parts),
      ...sessionResources(parts),
      ...accountResources(parts),
      ...systemResources(parts),
      ...systemPartResources(parts),
      ...chassisResources(parts),
      ...managerResources(parts),
      ...virtualMediaResources(parts),
    ];
    this.#resources = new Map(resources.map((resource) => [resource.path, resource]));
  }

  /** Answers one request. Never throws. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "GET";
    const url = new URL(request.url ?? "/", "https://bmc");
    const path = normal(url.pathname);
    this.#parts.journal.request(method, path, clientOf(request));
    try {
      const { faults, sessions } = this.#parts;
      if (faults.endsSessions({ method, path })) sessions.closeAll();
      const interception = await faults.intercept({ method, path });
      if (interception && "answer" in interception) {
        const { answer, done, quotes, retryAfterSeconds } = interception;
        if (done) await this.#answer(request, method, path, url.searchParams);
        const headers = retryAfterSeconds === undefined ? {} : { "Retry-After": String(retryAfterSeconds) };
        const infos = quotes ? await quoted(request, faultInfos(answer)) : faultInfos(answer);
        throw new RedfishError(answer, infos, headers);
      }
      // A dropped request is still done where the fault says so: then only its answer is lost.
      const wanted = interception === null || interception.done;
      const reply = wanted ? await this.#answer(request, method, path, url.searchParams) : null;
      if (interception || !reply) {
        this.#parts.journal.answered(method, path, null);
        request.socket.destroy();
      } else this.#send(response, method, path, reply);
    } catch (error) {
      this.#send(response, method, path, errorReply(error));
    }
  }

  #send(response: ServerResponse, method: string, path: string, reply: TextReply): void {
    this.#parts.journal.answered(method, path, reply.status);
    send(response, method, reply);
  }

  async #answer(request: IncomingMessage, method: string, path: string, query: URLSearchParams): Promise<TextReply> {
    const resource = await this.#find(path);
    const open = method === "POST" ? resource?.openPost : (method === "GET" || method === "HEAD") && resource?.open;
    if (!open) this.#authenticate(request);
    if (!resource) throw refuse(404, "ResourceMissingAtURI", [path]);
    const version = request.headers["odata-version"];
    if (version !== undefined && version !== "4.0") throw refuse(412, "PreconditionFailed");
    const allow = { Allow: allowOf(resource) };
    if ((method === "GET" || method === "HEAD") && (resource.read || resource.xml)) {
      return this.#get(request, resource, query, allow);
    }
    if (method === "POST" && resource.post) return asText(await resource.post(await bodyOf(request)), allow);
    if (method === "PATCH" && resource.patch) {
      await this.#checkMatch(request, resource);
      const body = await patchResource(resource, resource.patch, await bodyOf(request));
      const etag = this.#etagHeader(await this.#shown(resource));
      return asText({ status: 200, body: this.#parts.faults.show(path, body) }, { ...allow, ...etag });
    }
    if (method === "DELETE" && resource.remove) {
      await resource.remove();
      return asText({ status: 204 }, allow);
    }
    throw new RedfishError(405, refuse(405, "OperationNotAllowed").infos, allow);
  }

  async #get(
    request: IncomingMessage,
    resource: Resource,
    query: URLSearchParams,
    allow: Record<string, string>,
  ): Promise<TextReply> {
    if (resource.xml) return { status: 200, headers: { ...allow, "Content-Type": XML }, text: resource.xml() };
    const body = await this.#shown(resource);
    const headers = { ...allow, ...this.#etagHeader(body) };
    const etag = headers.ETag;
    if (etag !== undefined && request.headers["if-none-match"] === etag) return { status: 304, headers, text: null };
    const expanded = await expandQuery(body, query, async (path) => {
      const found = await this.#find(normal(path));
      return found?.read ? this.#shown(found) : null;
    });
    const stamped = etag !== undefined && "Id" in expanded ? { ...expanded, "@odata.etag": etag } : expanded;
    return asText({ status: 200, body: stamped }, headers);
  }

  async #find(path: string): Promise<Resource | null> {
    return (
      this.#resources.get(path) ??
      sessionResource(this.#parts, path) ??
      settingsResource(this.#parts, path) ??
      bootOptionResource(this.#parts, path)
    );
  }

  async #shown(resource: Resource): Promise<Json> {
    return this.#parts.faults.show(resource.path, (await resource.read?.()) ?? {});
  }

  #etagHeader(body: Json): { ETag?: string } {
    const shown = this.#parts.faults.shownEtag(strongEtag(body));
    return shown === null ? {} : { ETag: shown };
  }

  /** RFC 9110 section 13.1.1: a strong comparison. */
  async #checkMatch(request: IncomingMessage, resource: Resource): Promise<void> {
    const given = request.headers["if-match"];
    if (given === undefined || given.trim() === "*") return;
    const strong = strongEtag(await this.#shown(resource));
    const accepted = given.split(",").some((each) => this.#parts.faults.acceptsEtag(each.trim(), strong));
    if (!accepted) throw refuse(412, "PreconditionFailed");
  }

  #authenticate(request: IncomingMessage): void {
    const token = request.headers["x-auth-token"];
    if (typeof token === "string") {
      if (this.#parts.sessions.use(token)) return;
    } else {
      const [scheme, value] = (request.headers.authorization ?? "").split(" ");
      if (scheme?.toLowerCase() === "basic" && value !== undefined) {
        const text = Buffer.from(value, "base64").toString("utf8");
        const colon = text.indexOf(":");
        if (colon >= 0 && this.#parts.sessions.accepts(text.slice(0, colon), text.slice(colon + 1))) return;
      }
    }
    throw refuse(401, "NoValidSession");
  }
}

interface TextReply {
  status: number;
  headers: Record<string, string>;
  text: string | null;
}

const JSON_TYPE = "application/json; charset=utf-8";
const XML = "application/xml; charset=utf-8";

function asText(reply: Reply, headers: Record<string, string>): TextReply {
  const text = reply.body === undefined ? null : JSON.stringify(reply.body);
  const type: Record<string, string> = text === null ? {} : { "Content-Type": JSON_TYPE };
  return { status: reply.status, headers: { ...headers, ...type, ...reply.headers }, text };
}

function errorReply(error: unknown): TextReply {
  const known = error instanceof RedfishError ? error : refuse(500, "InternalError");
  const challenge: Record<string, string> =
    known.status === 401 ? { "WWW-Authenticate": 'Basic realm="Pitstop lab BMC"' } : {};
  return asText({ status: known.status, body: errorBody(known.infos) }, { ...known.headers, ...challenge });
}

function send(response: ServerResponse, method: string, reply: TextReply): void {
  const bytes = Buffer.from(reply.text ?? "", "utf8");
  const bodyless = reply.status === 204 || reply.status === 304;
  response.writeHead(reply.status, {
    "OData-Version": "4.0",
    "Cache-Control": "no-cache",
    ...reply.headers,
    ...(bodyless ? {} : { "Content-Length": bytes.length }),
  });
  response.end(method === "HEAD" || bodyless ? undefined : bytes);
}

function faultInfos(status: number) {
  const key = status === 401 ? "NoValidSession" : status === 503 ? "ServiceTemporarilyUnavailable" : "GeneralError";
  return refuse(status, key, ["1"]).infos;
}

/** The messages of a fault with the request in them. */
async function quoted(request: IncomingMessage, infos: readonly ExtendedInfo[]): Promise<ExtendedInfo[]> {
  const token = request.headers["x-auth-token"];
  const body = await bodyOf(request).catch(() => undefined);
  const Message = `Cannot handle ${request.method} ${request.url} X-Auth-Token: ${token} Body: ${JSON.stringify(body)}`;
  return infos.map((info) => ({ ...info, Message }));
}

const strongEtag = (body: Json): string =>
  `"${createHash("sha256").update(JSON.stringify(body)).digest("base64url").slice(0, 22)}"`;

/** `/redfish/v1/` and `/redfish/v1` are one resource (DSP0266 section 6.5). */
function normal(path: string): string {
  const decoded = path.replaceAll("%24", "$");
  return decoded.length > 1 && decoded.endsWith("/") ? decoded.slice(0, -1) : decoded;
}

function allowOf(resource: Resource): string {
  const methods: string[] = [];
  if (resource.read || resource.xml) methods.push("GET", "HEAD");
  if (resource.post) methods.push("POST");
  if (resource.patch) methods.push("PATCH");
  if (resource.remove) methods.push("DELETE");
  return methods.join(", ");
}

/** Tells clients apart for the journal, without keeping what they authenticate with. */
function clientOf(request: IncomingMessage): string {
  const secret = request.headers["x-auth-token"] ?? request.headers.authorization ?? "";
  return createHash("sha256").update(String(secret)).digest("base64url").slice(0, 12);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request) {
    size += (piece as Buffer).length;
    if (size > MAX_BODY_BYTES) throw refuse(413, "PayloadTooLarge");
    pieces.push(piece as Buffer);
  }
  if (size === 0) return undefined;
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) throw refuse(415, "MalformedJSON");
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
  } catch {
    throw refuse(400, "MalformedJSON");
  }
}

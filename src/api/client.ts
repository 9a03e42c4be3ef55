import { randomUUID } from "node:crypto";
import { z } from "zod";
import { messageOf, PitstopError } from "../domain/errors.js";
import { PitstopEvent } from "./events.js";
import {
  AppliedList,
  CampaignList,
  type CampaignRequest,
  CampaignStarted,
  CampaignView,
  type Collection,
  LogList,
  Noted,
  type PersonBody,
  Problem,
  Readiness,
  SessionList,
  SessionRecord,
  StartAnswer,
  type StartBody,
  Supplied,
  type SupplyBody,
} from "./messages.js";
import { readSse } from "./sse.js";

/** Milliseconds. An update of a session waits until the session has taken it. */
const TIMEOUT_MS = 60_000;
/** Four missed heartbeats: then the stream is dead, whatever TCP thinks. */
const STREAM_SILENCE_MS = 60_000;

/** Nobody answers at the server's address: told apart from a server that answers with a problem. */
export class ServerUnreachable extends PitstopError {
  constructor(url: string, cause: unknown) {
    super(
      "unreachable",
      `No Pitstop server answers at ${url} (${reasonOf(cause)}); start one with "pitstop serve", or set PITSTOP_URL.`,
      {
        cause,
      },
    );
  }
}

/** A document as the server has it; fields that a newer server knows pass through. */
const DocumentView = z.looseObject({
  kind: z.string(),
  name: z.string(),
  labels: z.record(z.string(), z.string()).default({}),
});
export type DocumentView = z.infer<typeof DocumentView>;

/**
 * The REST API, typed. Errors are the server's own `PitstopError`s, or {@link ServerUnreachable}. Each POST carries an
 * Idempotency-Key and is sent again once if the connection broke before the answer.
 */
export class PitstopClient {
  readonly url: string;
  readonly #token: string | null;

  constructor(options: { url: string; token: string | null }) {
    this.url = options.url.replace(/\/+$/, "");
    this.#token = options.token;
  }

  applyYaml(text: string, file: string, options: { dryRun?: boolean } = {}) {
    const query = new URLSearchParams({ file, dryRun: String(options.dryRun ?? false) });
    return this.#call("POST", `/api/v1/documents?${query}`, AppliedList, { yaml: text });
  }
  list(collection: Collection, select = "") {
    const query = new URLSearchParams({ select });
    return this.#call("GET", `/api/v1/${collection}?${query}`, z.object({ items: z.array(DocumentView) }));
  }
  get(collection: Collection, name: string) {
    return this.#call("GET", `/api/v1/${collection}/${encodeURIComponent(name)}`, DocumentView);
  }
  delete(collection: Collection, name: string) {
    return this.#call("DELETE", `/api/v1/${collection}/${encodeURIComponent(name)}`, z.null());
  }

  start(body: StartBody) {
    return this.#call("POST", "/api/v1/sessions", StartAnswer, { json: body });
  }
  sessions(filter: { target?: string; campaign?: string; open?: boolean; limit?: number } = {}) {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(filter)) query.set(key, String(value));
    return this.#call("GET", `/api/v1/sessions?${query}`, SessionList);
  }
  session(id: string) {
    return this.#call("GET", sessionPath(id), SessionRecord);
  }
  logs(id: string) {
    return this.#call("GET", sessionPath(id, "logs"), LogList);
  }
  async log(id: string, task: string): Promise<string> {
    return await this.#read("GET", sessionPath(id, `logs/${encodeURIComponent(task)}`), {});
  }
  abort(id: string, body: PersonBody) {
    return this.#call("POST", sessionPath(id, "abort"), Noted, { json: body });
  }
  approve(id: string, body: PersonBody) {
    return this.#call("POST", sessionPath(id, "approve"), Noted, { json: body });
  }
  retry(id: string, body: PersonBody) {
    return this.#call("POST", sessionPath(id, "retry"), Noted, { json: body });
  }
  release(id: string, body: { by: string; reason: string }) {
    return this.#call("POST", sessionPath(id, "release"), Noted, { json: body });
  }
  supply(id: string, body: SupplyBody) {
    return this.#call("POST", sessionPath(id, "supply"), Supplied, { json: body });
  }

  startCampaign(body: z.input<typeof CampaignRequest>) {
    return this.#call("POST", "/api/v1/campaigns", CampaignStarted, { json: body });
  }
  campaigns() {
    return this.#call("GET", "/api/v1/campaigns", CampaignList);
  }
  campaign(id: string) {
    return this.#call("GET", `/api/v1/campaigns/${encodeURIComponent(id)}`, CampaignView);
  }

  /** Also when the server is not ready: then with what is missing. */
  async ready(): Promise<Readiness> {
    const { text } = await this.#answer("GET", "/readyz", {});
    return parse(Readiness, text, this.url);
  }

  /**
   * Events as they happen, until `signal` aborts or the connection breaks (then it throws {@link ServerUnreachable}).
   * The first item is `null`: the stream is open and nothing that happens from now on is missed. A later `null` says
   * that events may have been missed: read the records again.
   */
  async *events(filter: { session?: string; target?: string }, signal: AbortSignal, lastEventId?: string) {
    const query = new URLSearchParams(Object.entries(filter));
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error("the stream fell silent")), STREAM_SILENCE_MS);
    try {
      const response = await this.#fetch("GET", `/api/v1/events?${query}`, {
        signal: AbortSignal.any([signal, silence.signal]),
        headers: { accept: "text/event-stream", ...(lastEventId ? { "last-event-id": lastEventId } : {}) },
      });
      if (!response.ok) throw problemToError(await response.text(), response.status, this.url);
      yield null;
      if (!response.body) return;
      for await (const message of readSse(response.body, () => timer.refresh())) {
        if (message.event === "gap") yield null;
        const event = PitstopEvent.safeParse(message.json);
        // An event of a kind that only a newer server knows is not for this client.
        if (event.success) yield event.data;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof PitstopError) throw error;
      throw new ServerUnreachable(this.url, error);
    } finally {
      clearTimeout(timer);
    }
    if (!signal.aborted) throw new ServerUnreachable(this.url, new Error("the stream ended"));
  }

  async #call<S extends z.ZodType>(
    method: string,
    path: string,
    schema: S,
    body: { json?: unknown; yaml?: string } = {},
  ): Promise<z.output<S>> {
    const key = method === "POST" ? { "idempotency-key": randomUUID() } : {};
    const init = { headers: { ...key, ...contentOf(body).headers }, body: contentOf(body).text };
    let text: string;
    try {
      text = await this.#read(method, path, init);
    } catch (error) {
      // The key makes the second one safe: the first may have arrived. A refused connection is not worth another.
      if (method !== "POST" || !(error instanceof ServerUnreachable) || isRefusal(error.cause)) throw error;
      text = await this.#read(method, path, init);
    }
    return parse(schema, text, this.url);
  }

  async #read(method: string, path: string, init: SendOptions): Promise<string> {
    const { ok, status, text } = await this.#answer(method, path, init);
    if (ok) return text;
    throw problemToError(text, status, this.url);
  }

  /** The whole answer: a connection that breaks in the middle of it is no answer. */
  async #answer(
    method: string,
    path: string,
    init: SendOptions,
  ): Promise<{ ok: boolean; status: number; text: string }> {
    const response = await this.#fetch(method, path, init);
    try {
      return { ok: response.ok, status: response.status, text: await response.text() };
    } catch (error) {
      throw new ServerUnreachable(this.url, error);
    }
  }

  async #fetch(method: string, path: string, init: SendOptions): Promise<Response> {
    const authorization = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
    try {
      return await fetch(`${this.url}${path}`, {
        method,
        // The token goes to the address that it is for, and to no other.
        redirect: "error",
        headers: { accept: "application/json", ...authorization, ...init.headers },
        signal: init.signal ?? AbortSignal.timeout(TIMEOUT_MS),
        ...(init.body === undefined ? {} : { body: init.body }),
      });
    } catch (error) {
      if (init.signal?.aborted && init.signal.reason === error) throw error;
      throw new ServerUnreachable(this.url, error);
    }
  }
}

interface SendOptions {
  headers?: Record<string, string>;
  body?: string | undefined;
  signal?: AbortSignal;
}

const sessionPath = (id: string, rest = ""): string =>
  `/api/v1/sessions/${encodeURIComponent(id)}${rest === "" ? "" : `/${rest}`}`;

function contentOf(body: { json?: unknown; yaml?: string }): {
  text: string | undefined;
  headers: Record<string, string>;
} {
  if (body.yaml !== undefined) return { text: body.yaml, headers: { "content-type": "application/yaml" } };
  if (body.json === undefined) return { text: undefined, headers: {} };
  return { text: JSON.stringify(body.json), headers: { "content-type": "application/json" } };
}

function problemToError(text: string, status: number, url: string): PitstopError {
  const parsed = Problem.safeParse(parseJson(text));
  if (parsed.success) return new PitstopError(parsed.data.code, parsed.data.detail, { facts: parsed.data.facts ?? {} });
  return new PitstopError(
    "internal",
    `${url} answered ${status} and not as a Pitstop server does; look at PITSTOP_URL.`,
  );
}

function parse<S extends z.ZodType>(schema: S, text: string, url: string): z.output<S> {
  const parsed = schema.safeParse(text === "" ? null : parseJson(text));
  if (parsed.success) return parsed.data;
  throw new PitstopError(
    "internal",
    `${url} answered what this pitstop does not understand; use the version that the server has.`,
    {
      cause: parsed.error,
    },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `fetch` says only "fetch failed"; what happened is in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown }).code;
  return typeof code === "string" ? code : messageOf(cause);
}

const isRefusal = (error: unknown): boolean => ["ECONNREFUSED", "ENOTFOUND"].includes(reasonOf(error));

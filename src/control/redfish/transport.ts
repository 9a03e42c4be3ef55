import { setTimeout as delay } from "node:timers/promises";
import { type Dispatcher, Pool } from "undici";
import { PitstopError } from "../../domain/errors.js";
import { masked } from "../../domain/mask.js";
import { isObject, parseJson } from "../json.js";
import { type Log, silent } from "../log.js";
import { type Trust, trustedConnector } from "../tls.js";
import { type Answer, faultOfThrown, retryAfterMs } from "./faults.js";

export const CONNECT_MS = 5_000;
const HEADERS_MS = 15_000;
const BODY_MS = 15_000;
/** Over all: a BMC that sends a byte now and then would outlive the idle time-outs. */
const EXCHANGE_MS = 45_000;
/** The largest Redfish answers seen are expanded collections of some hundred KiB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** BMCs serve few clients at once; two lets independent reads overlap. */
const CONNECTIONS = 2;
const MAX_ATTEMPTS = 3;
const MAX_RETRY_AFTER_MS = 10_000;
const MAX_REDIRECTS = 2;
/** A password, and the tokens of its last logins. */
const MAX_SECRETS = 8;

export interface BmcRequest {
  method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Path and query on the BMC's own origin. */
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /**
   * Whether the transport may ask again by itself: `lost` after a lost answer too (reads), `busy` only after a 503,
   * which says that nothing was done; `never` for whatever must not happen twice.
   */
  again: "lost" | "busy" | "never";
}

/** The connections to one BMC; undici's pool. */
export type BmcPool = {
  request(options: {
    method: BmcRequest["method"];
    path: string;
    headers: Record<string, string>;
    body: string | null;
    signal: AbortSignal;
  }): Promise<Pick<Dispatcher.ResponseData, "statusCode" | "headers" | "body">>;
  destroy(): Promise<void>;
};

export interface TransportOptions {
  /** Scheme, host and port. */
  origin: string;
  trust: Trust;
  log?: Log;
  sleep?: (ms: number) => Promise<unknown>;
  /** Stands between the transport and its connections. */
  throughPool?: (pool: BmcPool) => BmcPool;
  /** Tests bring a shorter one. */
  exchangeMs?: number;
}

/**
 * HTTP to one BMC: verified TLS, time-outs, a size and a depth limit, a bounded pool, and never a byte to another
 * host. It knows nothing of Redfish but JSON; every status is an answer, only silence is an error.
 */
export class Transport {
  readonly origin: string;
  readonly host: string;
  /** Whether the BMC proved who it is before the first byte: only then may the password itself travel with each request. */
  readonly verified: boolean;
  /** Requests sent so far, repeats included. */
  sent = 0;
  private readonly pool: BmcPool;
  private readonly log: Log;
  private readonly sleep: (ms: number) => Promise<unknown>;
  private readonly exchangeMs: number;
  private secrets: readonly string[] = [];

  constructor(options: TransportOptions) {
    const url = new URL(options.origin);
    this.origin = url.origin;
    this.host = url.host;
    this.verified = url.protocol === "https:" && options.trust.by !== "nothing";
    this.log = options.log ?? silent;
    this.sleep = options.sleep ?? ((ms) => delay(ms));
    this.exchangeMs = options.exchangeMs ?? EXCHANGE_MS;
    const pool: BmcPool = new Pool(this.origin, {
      connect: trustedConnector(options.trust, CONNECT_MS),
      connections: CONNECTIONS,
      headersTimeout: HEADERS_MS,
      bodyTimeout: BODY_MS,
      maxResponseSize: MAX_BODY_BYTES,
    });
    this.pool = options.throughPool?.(pool) ?? pool;
  }

  /** From now on no refusal, and no sentence about one, repeats this text: some BMCs quote the request in their errors. */
  hide(secret: string): void {
    if (this.secrets.includes(secret)) return;
    this.secrets = [...this.secrets, secret].slice(-MAX_SECRETS);
  }

  /** The path of a link that a BMC gave. A link to anywhere else is refused: it would carry the session's token there. */
  pathOf(link: string): string {
    let url: URL | null = null;
    try {
      url = new URL(link, this.origin);
    } catch {
      // Judged below, with every other link that is not ours.
    }
    if (
      url === null ||
      url.origin !== this.origin ||
      url.username !== "" ||
      url.password !== "" ||
      link.length > 2048
    ) {
      throw new PitstopError(
        "refused",
        `${this.host} links to ${JSON.stringify(masked(link, this.secrets).slice(0, 200))}, which is not on this BMC; Pitstop does not follow.`,
      );
    }
    return url.pathname + url.search;
  }

  async send(request: BmcRequest): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= MAX_ATTEMPTS || request.again === "never";
      try {
        const answer = await this.follow(request);
        if (answer.status !== 503 || last) return answer;
        await this.sleep(retryAfterMs(answer.headers, 250 * attempt, MAX_RETRY_AFTER_MS, Date.now()));
      } catch (error) {
        const fault = faultOfThrown(error, `${request.method} ${bare(request.path)}`, this.host);
        if (last || request.again !== "lost" || !wasLost(fault)) throw fault;
        await this.sleep(100 * attempt);
      }
    }
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  private async follow(request: BmcRequest): Promise<Answer> {
    let path = request.path;
    for (let hops = 0; ; hops++) {
      const answer = await this.exchange({ ...request, path });
      const location = answer.headers.get("location");
      if (answer.status < 300 || answer.status >= 400 || answer.status === 304) return answer;
      if (request.method !== "GET" || location === null || hops >= MAX_REDIRECTS) {
        throw new PitstopError(
          "refused",
          `${this.host} redirects ${request.method} ${bare(path)}; give the BMC's own URL.`,
        );
      }
      path = this.pathOf(location);
    }
  }

  private async exchange(request: BmcRequest): Promise<Answer> {
    this.sent++;
    const startedAt = Date.now();
    const response = await this.pool.request({
      method: request.method,
      path: request.path,
      headers: {
        accept: "application/json",
        // Many embedded servers compress where the client does not say what it reads.
        "accept-encoding": "identity",
        "odata-version": "4.0",
        "user-agent": "pitstop",
        ...(request.body === undefined ? {} : { "content-type": "application/json" }),
        ...request.headers,
      },
      body: request.body === undefined ? null : JSON.stringify(request.body),
      signal: AbortSignal.timeout(this.exchangeMs),
    });
    const encoding = response.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity" && response.statusCode < 400) {
      await response.body.dump().catch(() => undefined);
      throw new PitstopError(
        "refused",
        `${this.host} answered ${request.method} ${bare(request.path)} compressed (${String(encoding).slice(0, 40)}), ` +
          "which Pitstop did not ask for and does not read; update the BMC's firmware.",
        { facts: { arrived: true } },
      );
    }
    const text = await response.body.text();
    const headers = new Headers();
    for (const [name, value] of Object.entries(response.headers)) {
      for (const one of Array.isArray(value) ? value : value === undefined ? [] : [value]) headers.append(name, one);
    }
    const status = response.statusCode;
    const facts = { method: request.method, path: bare(request.path), status, tookMs: Date.now() - startedAt };
    this.log.debug(facts, "bmc answered");
    const body = bodyOf(text, status);
    return { status, headers, body: status >= 400 ? masked(body, this.secrets) : body };
  }
}

/** A success must be understood; the text of a refusal may be anything. */
function bodyOf(text: string, status: number): Answer["body"] {
  if (text.trim() === "") return null;
  try {
    const value = parseJson(text);
    if (isObject(value)) return value;
    if (status >= 400) return null;
    throw new PitstopError(
      "unreachable",
      "The answer is JSON, but no object; the service may be starting. Try again later.",
    );
  } catch (error) {
    if (status >= 400) return null;
    throw error;
  }
}

/** The connection broke: the answer is lost, whether or not the request arrived. */
const wasLost = (fault: PitstopError): boolean =>
  ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "UND_ERR_CLOSED"].includes(String(fault.facts.socket));

const bare = (path: string): string => path.split("?")[0] ?? path;

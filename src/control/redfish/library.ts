import { pino } from "pino";
import { iDRACRedfishClient } from "redfish-client";
import { PitstopError } from "../../domain/errors.js";
import { isObject, type JsonObject } from "../json.js";
import { type Answer, faultOf } from "./faults.js";
import type { BmcRequest, Transport } from "./transport.js";

/**
 * The part of redfish-client that is used. Its own declarations cannot be resolved by an ESM compiler (its imports
 * lack extensions), and its base class is reachable only through its vendors' classes, of which this needs none.
 */
declare class RedfishLibrary {
  constructor(host: string, user: string, password: string, logger: unknown);
  protected readonly baseUrl: string;
  protected readonly sessionToken: string | null;
  protected customFetch(url: string, options?: RequestInit, withToken?: boolean): Promise<LibraryAnswer>;
  getRedfishSessionUri(): Promise<string>;
  getSessionToken(): Promise<string>;
  closeSession(): Promise<void>;
  getSystemInfo(systemId: string, refresh: boolean): Promise<JsonObject>;
  powerOnSystem(systemId: string): Promise<boolean>;
  shutdownSystem(systemId: string): Promise<boolean>;
  forceOffSystem(systemId: string): Promise<boolean>;
  forceRestartSystem(systemId: string): Promise<boolean>;
}

interface LibraryAnswer {
  data: JsonObject;
  headers: Headers;
}

const Base = iDRACRedfishClient as unknown as typeof RedfishLibrary;

/** The library's default logger writes bodies, with the password of the login, to standard output. */
const mute = pino({ level: "silent" });

/**
 * One login at a BMC: the library's sequences over our transport. An expired session needs a new instance, because
 * the library keeps its token to itself.
 */
export class LibrarySession extends Base {
  /** The token has opened something since the login: a later 401 means that it expired. */
  proven = false;
  /** RFC 7617 credentials, for a service without sessions; null while the token counts. */
  private basic: string | null = null;

  constructor(
    private readonly transport: Transport,
    /** The service root, read before the login and not read again for it. */
    private readonly root: JsonObject,
    private readonly account: { user: string; password: string },
  ) {
    super(transport.host, account.user, account.password, mute);
    transport.hide(account.password);
  }

  /** `useBasic` sends user and password with each request from now on. Errors: `refused` where TLS is not verified. */
  useBasic(): void {
    if (!this.transport.verified) {
      throw new PitstopError(
        "refused",
        `${this.transport.host} has no sessions that Pitstop can use, and HTTP Basic goes over verified TLS only; ` +
          "pin its certificate in tls.fingerprint256.",
      );
    }
    this.basic = Buffer.from(`${this.account.user}:${this.account.password}`, "utf8").toString("base64");
    this.transport.hide(this.basic);
  }

  get isBasic(): boolean {
    return this.basic !== null;
  }

  /** `logOut` ends the BMC's session, where there is one. */
  async logOut(): Promise<void> {
    if (this.basic === null || this.sessionToken) await this.closeSession();
  }

  protected override async customFetch(
    url: string,
    options: RequestInit = {},
    withToken = true,
  ): Promise<LibraryAnswer> {
    const path = this.pathFrom(url);
    const method = methodOf(options.method);
    if (method === "GET" && path === "/redfish/v1" && !withToken) return { data: this.root, headers: new Headers() };
    const answer = await this.send(
      {
        method,
        path,
        again: method === "GET" ? "lost" : "never",
        ...(typeof options.body === "string" ? { body: JSON.parse(options.body) } : {}),
      },
      withToken,
    );
    if (answer.status >= 400) throw faultOf(answer, `${method} ${path}`);
    return { data: withSessionId(answer), headers: answer.headers };
  }

  /** Sends with this login's token. Any status is an answer. */
  async send(request: BmcRequest, withToken = true): Promise<Answer> {
    const login = withToken ? await this.loginHeaders() : {};
    const answer = await this.transport.send({ ...request, headers: { ...request.headers, ...login } });
    if (withToken && answer.status < 400) this.proven = true;
    return answer;
  }

  private async loginHeaders(): Promise<Record<string, string>> {
    if (this.basic !== null) return { authorization: `Basic ${this.basic}` };
    const token = await this.getSessionToken();
    this.transport.hide(token);
    return { "x-auth-token": token };
  }

  /** The library joins its base URL and whatever link the BMC gave: judged here, before anything is sent. */
  private pathFrom(url: string): string {
    const link = url.startsWith(this.baseUrl) ? url.slice(this.baseUrl.length) : url;
    return this.transport.pathOf(link).replace(/\/{2,}/g, "/");
  }
}

function methodOf(method: string | undefined): BmcRequest["method"] {
  if (method === undefined || method === "GET") return "GET";
  if (method === "POST" || method === "PATCH" || method === "DELETE") return method;
  throw new PitstopError("internal", `redfish-client asked for the method ${method}, which Pitstop does not send.`);
}

/** DSP0266 ("Session login") lets a service answer with no body and the session's URI in `Location`. */
function withSessionId(answer: Answer): JsonObject {
  const data = isObject(answer.body) ? answer.body : {};
  const location = answer.headers.get("location");
  if (answer.status !== 201 || location === null || typeof data.Id === "string") return data;
  return { ...data, Id: location.split("/").filter(Boolean).at(-1) ?? "" };
}

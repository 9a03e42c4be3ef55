import { isRetryable, messageOf, PitstopError } from "../../domain/errors.js";
import type { JsonObject } from "../json.js";
import { type Log, silent } from "../log.js";
import { type Answer, faultOf, faultOfShape } from "./faults.js";
import { LibrarySession } from "./library.js";
import { loginFaultOf, withSessions } from "./login.js";
import { Collection, idOf, linkOf, ServiceRoot } from "./resources.js";
import type { BmcRequest, Transport } from "./transport.js";

/** What a `Reset` can be asked through the library; the rest is posted by {@link RedfishClient.send}. */
export const LIBRARY_RESETS = {
  On: "powerOnSystem",
  GracefulShutdown: "shutdownSystem",
  ForceOff: "forceOffSystem",
  ForceRestart: "forceRestartSystem",
} as const;

const LOGOUT_MS = 5_000;
/** A page has at least a handful of members; no system has hundreds of boot options or media. */
const MAX_PAGES = 8;
/** Each member may cost a request; no system has this many boot options or media. */
const MAX_MEMBERS = 256;

export interface ClientOptions {
  transport: Transport;
  /** Resolved at each login and not kept here. */
  credentials: () => Promise<{ user: string; password: string }>;
  /** How the credentials are named in an error. */
  credentialsName: string;
  log?: Log;
}

/** Sockets that failed before a request could leave. */
const NOT_SENT = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT", "EAI_AGAIN"];

/**
 * One Redfish service: its root, one session, and requests with the session's token. `RedfishClient` opens an expired session
 * again, once per expiry, and never repeats a refused login, because BMCs lock accounts. HTTP Basic serves where the
 * service has no sessions, or takes the login and not the token.
 */
export class RedfishClient {
  readonly transport: Transport;
  private readonly options: ClientOptions;
  private readonly log: Log;
  private rootBody: JsonObject | null = null;
  private session: Promise<LibrarySession> | null = null;
  private canExpand: boolean | null = null;
  /** The service was found to have no sessions: not asked again. */
  private basicOnly = false;
  /** Requests that changed the machine, or may have: a refusal is none, a lost answer is one. */
  writes = 0;

  constructor(options: ClientOptions) {
    this.options = options;
    this.transport = options.transport;
    this.log = options.log ?? silent;
  }

  /** The service root (DSP0266, "Service root request"), read without credentials and kept: it holds paths, no state. */
  async root(): Promise<ServiceRoot> {
    return ServiceRoot.parse(await this.readRoot());
  }

  /** The Ids of all systems, by the ends of their links. */
  async systemIds(): Promise<string[]> {
    const { Systems: link } = await this.root();
    return (await this.links(link ?? "/redfish/v1/Systems")).map(idOf);
  }

  /** The links of a collection's members; empty where it is missing. */
  async links(collection: string): Promise<string[]> {
    const members = (await this.pages(collection, [404])) ?? [];
    return members.map(linkOf).filter((link) => link !== null);
  }

  /** Every system whole, by one request; null where the service cannot do that. */
  async wholeSystems(): Promise<JsonObject[] | null> {
    const { Systems: link } = await this.root();
    return link === null ? null : await this.expanded(link);
  }

  /** The system as it is now, its `ETag` header under `Etag`. */
  async system(id: string): Promise<JsonObject> {
    return await this.inSession((session) => session.getSystemInfo(encodeURIComponent(id), true), `the system ${id}`);
  }

  async reset(kind: keyof typeof LIBRARY_RESETS, id: string): Promise<void> {
    const reset = (session: LibrarySession) => session[LIBRARY_RESETS[kind]](encodeURIComponent(id));
    await this.counted(() => this.inSession(reset, `the reset ${kind}`));
  }

  /** `send` takes any status for an answer, but opens an expired session again first. */
  async send(request: BmcRequest): Promise<Answer> {
    if (request.method === "GET") return await this.sendInSession(request);
    return await this.counted(
      () => this.sendInSession(request),
      (answer) => answer.status < 400,
    );
  }

  private async counted<T>(write: () => Promise<T>, took: (result: T) => boolean = () => true): Promise<T> {
    try {
      const result = await write();
      if (took(result)) this.writes++;
      return result;
    } catch (error) {
      if (mayHaveArrived(error)) this.writes++;
      throw error;
    }
  }

  private async sendInSession(request: BmcRequest): Promise<Answer> {
    for (let again = false; ; again = true) {
      const pending = this.login();
      const session = await pending;
      const { isBasic } = session;
      const answer = await session.send(request);
      if (answer.status !== 401) return answer;
      this.renew(session, pending, { again, isBasic });
    }
  }

  /** After a 401: another login where the session had worked, HTTP Basic where the fresh token opened nothing, else the end. */
  private renew(
    session: LibrarySession,
    pending: Promise<LibrarySession>,
    was: { again: boolean; isBasic: boolean },
  ): void {
    if (was.isBasic || (was.again && session.proven)) throw this.unauthorized();
    // A request that ran beside this one has changed over already.
    if (session.isBasic) return;
    if (session.proven) {
      this.forget(pending);
      return;
    }
    if (!this.transport.verified) throw this.unauthorized();
    session.useBasic();
    this.basicOnly = true;
  }

  /** Reads a resource. A refusal is an error, except the statuses in `absent`, which read as null. */
  async get(link: string, absent: readonly number[] = []): Promise<{ body: JsonObject; etag: string | null } | null> {
    const path = this.transport.pathOf(link);
    const answer = await this.send({ method: "GET", path, again: "lost" });
    if (absent.includes(answer.status)) return null;
    if (answer.status >= 400) throw faultOf(answer, `GET ${path}`);
    if (answer.body === null) throw faultOfShape(null, `GET ${path}`, this.transport.host);
    return { body: answer.body, etag: answer.headers.get("etag") };
  }

  /**
   * The members of a collection: by one `$expand` where the service can, else (or where `parentFirst` says that they
   * come into being when the collection is read) one by one. Empty where it is missing.
   */
  async members(link: string, parentFirst: boolean): Promise<JsonObject[]> {
    const expanded = parentFirst ? null : await this.expanded(link);
    if (expanded !== null) return expanded;
    const read = await Promise.all((await this.links(link)).map(async (one) => await this.get(one, [404])));
    return read.filter((one) => one !== null).map((one) => one.body);
  }

  /** The members whole, by one request; null where the service cannot do that. */
  private async expanded(link: string): Promise<JsonObject[] | null> {
    const query = this.expandQuery(await this.root());
    if (query === null) return null;
    const found = await this.pages(`${link}?${query}`, [400, 404, 405, 500, 501]);
    if (found?.every((member) => Object.keys(member).some((name) => name !== "@odata.id"))) return found;
    // It announces what it cannot do: not asked again in this session.
    this.canExpand = false;
    return null;
  }

  /** `Members` of all pages (DSP0266, "Resource collections"); null where the first is absent. */
  private async pages(first: string, absent: readonly number[]): Promise<JsonObject[] | null> {
    const members: JsonObject[] = [];
    let link: string | null = first;
    for (let page = 0; link !== null && page < MAX_PAGES; page++) {
      const answer: { body: JsonObject } | null = await this.get(link, absent);
      if (answer === null) return page === 0 ? null : members;
      const collection = Collection.parse(answer.body);
      if (collection.Members === null) throw this.noList(first);
      members.push(...collection.Members);
      if (members.length > MAX_MEMBERS) throw this.tooMany(first);
      link = collection["Members@odata.nextLink"];
    }
    return members;
  }

  private noList(link: string): PitstopError {
    const path = link.split("?")[0];
    return new PitstopError(
      "refused",
      `${this.transport.host} shows no list of members in ${path}; update the BMC's firmware, or reset the BMC.`,
    );
  }

  private tooMany(link: string): PitstopError {
    const path = link.split("?")[0];
    return new PitstopError(
      "refused",
      `${this.transport.host} has more than ${MAX_MEMBERS} members in ${path}; this is no sane service. Reset the BMC.`,
    );
  }

  /** Logs out and closes the connections. Never throws. */
  async close(): Promise<void> {
    const pending = this.session;
    this.session = null;
    try {
      const session = await pending;
      if (session) await withinMs(session.logOut(), LOGOUT_MS);
    } catch (error) {
      this.log.debug({ error: messageOf(error) }, "bmc session was not closed; it will expire");
    }
    await this.transport.close().catch(() => undefined);
  }

  private async readRoot(): Promise<JsonObject> {
    if (this.rootBody !== null) return this.rootBody;
    const answer = await this.transport.send({ method: "GET", path: "/redfish/v1/", again: "lost" });
    if (answer.status >= 400) throw faultOf(answer, "GET /redfish/v1/");
    if (answer.body === null) throw faultOfShape(null, "GET /redfish/v1/", this.transport.host);
    this.rootBody = answer.body;
    return answer.body;
  }

  /** The open session, or a new one; concurrent callers share one login. */
  private login(): Promise<LibrarySession> {
    if (this.session !== null) return this.session;
    const opening = this.openSession();
    this.session = opening;
    opening.catch(() => this.forget(opening));
    return opening;
  }

  private forget(session: Promise<LibrarySession>): void {
    if (this.session === session) this.session = null;
  }

  private async openSession(): Promise<LibrarySession> {
    const body = await this.readRoot();
    const root = withSessions(body);
    const session = new LibrarySession(this.transport, root ?? body, await this.options.credentials());
    if (this.basicOnly || root === null) {
      session.useBasic();
      return session;
    }
    try {
      await session.getSessionToken();
    } catch (error) {
      const fault = this.loginFault(error);
      if (fault !== null) throw fault;
      session.useBasic();
      this.basicOnly = true;
    }
    return session;
  }

  /** Runs one of the library's sequences, which throws on a 401. */
  private async inSession<T>(work: (session: LibrarySession) => Promise<T>, did: string): Promise<T> {
    for (let again = false; ; again = true) {
      const pending = this.login();
      const session = await pending;
      const { isBasic } = session;
      try {
        return await work(session);
      } catch (error) {
        const expired = error instanceof PitstopError && error.facts.status === 401;
        if (!expired) throw faultOfShape(error, did, this.transport.host);
        this.renew(session, pending, { again, isBasic });
      }
    }
  }

  /** DSP0266, "The $expand query parameter". */
  private expandQuery(root: ServiceRoot): string | null {
    if (this.canExpand === false) return null;
    const can = root.ProtocolFeaturesSupported.ExpandQuery;
    const levels = can.Levels === true ? "($levels=1)" : "";
    if (can.NoLinks === true) return `$expand=.${levels}`;
    return can.ExpandAll === true ? `$expand=*${levels}` : null;
  }

  private loginFault(error: unknown): PitstopError | null {
    const fault = loginFaultOf(error, this.transport.host);
    if (fault.is === "noSessions") return null;
    return fault.is === "fault" ? fault.error : this.unauthorized(fault.is === "mustChange");
  }

  private unauthorized(mustChange = false): PitstopError {
    const { host } = this.transport;
    const { credentialsName } = this.options;
    const said = mustChange
      ? `takes the password of ${credentialsName} for a new one only: the password must be changed at the BMC first.`
      : `refused the user and password of ${credentialsName}; correct them.`;
    return new PitstopError(
      "unauthorized",
      `${host} ${said} It is not tried again by itself, because BMCs lock accounts.`,
    );
  }
}

async function withinMs(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Whether a write whose answer is missing may have been done. */
function mayHaveArrived(error: unknown): boolean {
  if (!(error instanceof PitstopError)) return true;
  const { status, socket, arrived } = error.facts;
  if (arrived === true) return true;
  return isRetryable(error.code) && status === undefined && !NOT_SENT.includes(String(socket));
}

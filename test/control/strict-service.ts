import { X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { certificate, type Json } from "./fake-bmc.js";

/** The resources of one machine: path -> resource. */
export type Tree = Record<string, Json>;

interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

interface Request {
  method: string;
  path: string;
  query: string;
  body: Json;
  headers: IncomingMessage["headers"];
}

const ROOT = "/redfish/v1";
const ACCOUNT = { user: "admin", password: "secret-of-the-fake" };
/** DSP0268's own words, where a machine lists none. */
const WORDS: Record<string, string[]> = {
  BootSourceOverrideEnabled: ["Disabled", "Once", "Continuous"],
  BootSourceOverrideMode: ["UEFI", "Legacy"],
};
/** DSP0268 InsertMedia, where a machine has no ActionInfo of it. */
const INSERT_PARAMETERS = [
  ...["Image", "Inserted", "WriteProtected", "TransferMethod", "TransferProtocolType", "UserName", "Password"],
  "MediaType",
];
const TURNS_ON = ["On", "ForceOn"];
const TURNS_OFF = ["ForceOff", "GracefulShutdown", "Off"];

const refusal = (status: number, id: string, ...args: string[]): Answer => ({
  status,
  body: {
    error: {
      code: `Base.1.18.${id}`,
      message: `${id}: ${args.join(", ")}`,
      "@Message.ExtendedInfo": [
        { MessageId: `Base.1.18.${id}`, Message: `${id}: ${args.join(", ")}`, MessageArgs: args },
      ],
    },
  },
});

/**
 * `StrictService` serves a machine's resources over TLS, with the state that they have. It takes what the resources show and
 * nothing else: known properties, allowable values, current entity tags, required parameters.
 */
export class StrictService {
  /** What each power-on booted: the override in force; null: the boot order. */
  readonly boots: ({ enabled: string; target: string; uri: string | null } | null)[] = [];
  /** Accepted changes, logins apart. */
  writes = 0;
  requests = 0;
  readonly refusals: string[] = [];
  readonly sessions = new Map<string, string>();
  readonly fingerprint: string;
  /** Properties of `Boot` that were changed in a settings resource and wait for the power-on. */
  private readonly pending = new Set<string>();
  private readonly empty = new Map<string, Json>();
  private logins = 0;
  private tags = 0;

  private constructor(
    private readonly server: Server,
    cert: string,
    readonly tree: Tree,
  ) {
    this.fingerprint = new X509Certificate(cert).fingerprint256;
    for (const [path, slot] of this.ofType("VirtualMedia")) this.empty.set(path, emptied(slot));
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.serve(request, response);
    });
  }

  /** `start` takes a copy of the tree. */
  static async start(tree: Tree): Promise<StrictService> {
    const { cert, key } = await certificate();
    const server = createServer({ cert, key });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const served = Object.entries(structuredClone(tree)).map(([path, resource]) => [plain(path), resource]);
    return new StrictService(server, cert, Object.fromEntries(served));
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** The resources of a type, by path. */
  ofType(name: string): [string, Json][] {
    const type = new RegExp(`^#${name}\\.v`);
    return Object.entries(this.tree).filter(([, resource]) => type.test(String(resource["@odata.type"])));
  }

  /** `reorderBoot` moves the last entry of the boot order to the front, as an installer does. */
  reorderBoot(): void {
    for (const resource of Object.values(this.tree)) {
      const { BootOrder: order } = linked(resource.Boot);
      if (Array.isArray(order)) order.unshift(order.pop());
    }
  }

  private async serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const [path = "", query = ""] = (incoming.url ?? "").split("?");
    const request: Request = {
      method: incoming.method ?? "",
      path: plain(path),
      query: decodeURIComponent(query),
      body: text === "" ? {} : (JSON.parse(text) as Json),
      headers: incoming.headers,
    };
    this.requests++;
    const { status, body, headers } = this.answer(request);
    if (status >= 400) this.refusals.push(`${request.method} ${request.path} ${status}`);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body === undefined ? "" : JSON.stringify(body));
  }

  private answer(request: Request): Answer {
    const { method, path } = request;
    const logins = this.loginPath();
    if (method === "GET" && path === ROOT) return { status: 200, body: this.tree[ROOT] };
    if (method === "POST" && path === logins) return this.login(request);
    if (!this.isKnown(request)) return refusal(401, "NoValidSession");
    if (method === "DELETE" && path.startsWith(`${logins}/`)) return this.logout(path);
    if (method === "POST") return this.act(request);
    const resource = this.tree[path];
    if (resource === undefined) return refusal(404, "ResourceMissingAtURI", path);
    if (method === "GET") return this.show(resource, request.query);
    if (method === "PATCH") return this.patch(path, resource, request);
    return refusal(405, "OperationNotAllowed", method);
  }

  /** Null: the machine has no sessions, and takes HTTP Basic. */
  private loginPath(): string | null {
    const root = this.tree[ROOT] ?? {};
    const link = linkIn(linked(root.Links).Sessions);
    return link === null || root.SessionService === undefined ? null : plain(link);
  }

  private login({ body, path }: Request): Answer {
    if (body.UserName !== ACCOUNT.user || body.Password !== ACCOUNT.password) return refusal(401, "NoValidSession");
    const session = `${path}/strict-${++this.logins}`;
    const token = `token-${this.logins}`;
    this.sessions.set(session, token);
    const headers = { "x-auth-token": token, location: session };
    return { status: 201, body: { "@odata.id": session, Id: `strict-${this.logins}` }, headers };
  }

  private logout(path: string): Answer {
    return this.sessions.delete(path) ? { status: 204 } : refusal(404, "ResourceMissingAtURI", path);
  }

  private isKnown({ headers }: Request): boolean {
    if (this.loginPath() !== null) return [...this.sessions.values()].includes(String(headers["x-auth-token"]));
    return headers.authorization === `Basic ${Buffer.from(`${ACCOUNT.user}:${ACCOUNT.password}`).toString("base64")}`;
  }

  private show(resource: Json, query: string): Answer {
    const tag = resource["@odata.etag"];
    const headers = typeof tag === "string" ? { headers: { etag: tag } } : {};
    if (query === "") return { status: 200, body: resource, ...headers };
    const can = linked(linked(this.tree[ROOT]?.ProtocolFeaturesSupported).ExpandQuery);
    const isOffered = query.startsWith("$expand=.") ? can.NoLinks === true : can.ExpandAll === true;
    if (!query.startsWith("$expand=") || !isOffered || !Array.isArray(resource.Members)) {
      return refusal(501, "QueryNotSupportedOnResource");
    }
    const members = resource.Members.map((member: Json) => this.tree[plain(linkIn(member) ?? "")] ?? member);
    return { status: 200, body: { ...resource, Members: members } };
  }

  private patch(path: string, resource: Json, { body, headers }: Request): Answer {
    const tag = resource["@odata.etag"];
    if (typeof tag === "string" && headers["if-match"] === undefined) return refusal(428, "PreconditionRequired");
    if (typeof tag === "string" && headers["if-match"] !== tag) return refusal(412, "PreconditionFailed");
    const isSlot = this.empty.has(path);
    const isBoot = Object.keys(body).join() === "Boot" && resource.Boot !== undefined;
    if (!isSlot && !isBoot) return refusal(405, "OperationNotAllowed", "PATCH");
    const refused = isSlot ? unknownIn(body, resource) : this.refusedBoot(path, linked(body.Boot), resource);
    if (refused !== null) return refused;
    if (isSlot) this.change(path, resource, body);
    else this.changeBoot(path, resource, linked(body.Boot));
    return this.wrote(resource);
  }

  /** Why a change of `Boot` is refused; null where it is taken. */
  private refusedBoot(path: string, change: Json, resource: Json): Answer | null {
    const boot = linked(resource.Boot);
    const [, system = {}] = this.systemOf(path) ?? [];
    const settings = this.settingsOf(system);
    for (const [name, value] of Object.entries(change)) {
      if (!(name in boot) && !(`${name}@Redfish.AllowableValues` in boot)) return refusal(400, "PropertyUnknown", name);
      const isElsewhere = settings !== null && settings !== resource && name in linked(settings.Boot);
      if (isElsewhere) return refusal(400, "PropertyNotWritable", name);
      if (name === "BootOrder") {
        if (!samePermutation(value, boot.BootOrder)) return refusal(400, "PropertyValueNotInList", name);
        continue;
      }
      if (value !== null && typeof value !== "string") return refusal(400, "PropertyValueTypeError", name);
      const listed = boot[`${name}@Redfish.AllowableValues`] ?? linked(system.Boot)[`${name}@Redfish.AllowableValues`];
      const allowed = (listed ?? WORDS[name] ?? null) as string[] | null;
      if (allowed !== null && !allowed.includes(value ?? "")) {
        return refusal(400, "PropertyValueNotInList", String(value), name);
      }
    }
    return null;
  }

  private changeBoot(path: string, resource: Json, change: Json): void {
    Object.assign(linked(resource.Boot), change);
    if (this.systemOf(path)?.[0] === path) return;
    for (const name of Object.keys(change)) this.pending.add(name);
  }

  private change(path: string, slot: Json, body: Json): void {
    Object.assign(slot, body);
    if (!("Image" in body)) return;
    const isEmpty = body.Image === null;
    const { Image, ConnectedVia } = this.empty.get(path) ?? {};
    Object.assign(slot, isEmpty ? { Image, Inserted: false, ConnectedVia } : { Inserted: true, ConnectedVia: "URI" });
  }

  private wrote(resource: Json): Answer {
    this.writes++;
    const tag = resource["@odata.etag"];
    if (typeof tag === "string") resource["@odata.etag"] = `${tag.startsWith("W/") ? "W/" : ""}"strict-${++this.tags}"`;
    return { status: 204 };
  }

  private act(request: Request): Answer {
    for (const [path, resource] of Object.entries(this.tree)) {
      for (const [name, action] of Object.entries(linked(resource.Actions))) {
        if (plain(String(linked(action).target ?? "")) !== request.path) continue;
        const refused = this.refusedParameters(name, linked(action), request.body);
        if (refused !== null) return refused;
        if (name === "#ComputerSystem.Reset") return this.reset(resource, String(request.body.ResetType));
        if (name === "#VirtualMedia.InsertMedia") return this.insert(resource, request.body);
        if (name === "#VirtualMedia.EjectMedia") return this.eject(path, resource);
      }
    }
    return this.tree[request.path] === undefined
      ? refusal(404, "ResourceMissingAtURI", request.path)
      : refusal(405, "OperationNotAllowed", "POST");
  }

  private refusedParameters(name: string, action: Json, body: Json): Answer | null {
    const info = this.tree[plain(String(action["@Redfish.ActionInfo"] ?? ""))];
    const own = name === "#VirtualMedia.InsertMedia" ? INSERT_PARAMETERS : name.endsWith(".Reset") ? ["ResetType"] : [];
    const required = own.slice(0, 1).map((one) => ({ Name: one, Required: true }));
    const told = (info?.Parameters ?? [...required, ...own.slice(1).map((one) => ({ Name: one }))]) as Json[];
    for (const parameter of Object.keys(body)) {
      if (!told.some(({ Name }) => Name === parameter)) return refusal(400, "ActionParameterUnknown", name, parameter);
    }
    for (const { Name, Required, AllowableValues } of told) {
      const parameter = String(Name);
      if (Required === true && body[parameter] === undefined)
        return refusal(400, "ActionParameterMissing", name, parameter);
      const allowed = (action[`${parameter}@Redfish.AllowableValues`] ?? AllowableValues) as unknown[] | undefined;
      if (body[parameter] !== undefined && allowed !== undefined && !allowed.includes(body[parameter])) {
        return refusal(400, "ActionParameterValueNotInList", String(body[parameter]), parameter, name);
      }
    }
    return null;
  }

  private reset(system: Json, type: string): Answer {
    if (TURNS_OFF.includes(type)) system.PowerState = "Off";
    else if (!TURNS_ON.includes(type)) return refusal(400, "ActionNotSupported", type);
    else if (system.PowerState === "Off") this.powerOn(system);
    return this.wrote(system);
  }

  /** The power-on takes what is pending in the settings resource, and spends `Once`. */
  private powerOn(system: Json): void {
    system.PowerState = "On";
    const boot = linked(system.Boot);
    const settings = linked(this.settingsOf(system)?.Boot);
    for (const name of this.pending) if (name in boot) boot[name] = structuredClone(settings[name]);
    this.pending.clear();
    const { BootSourceOverrideEnabled: enabled, BootSourceOverrideTarget: target, HttpBootUri: uri } = boot;
    const isInForce =
      (enabled === "Once" || enabled === "Continuous") && typeof target === "string" && target !== "None";
    this.boots.push(isInForce ? { enabled, target, uri: typeof uri === "string" ? uri : null } : null);
    for (const one of [boot, settings]) {
      if (one.BootSourceOverrideEnabled === "Once") one.BootSourceOverrideEnabled = "Disabled";
    }
  }

  private insert(slot: Json, body: Json): Answer {
    if (slot.Inserted === true) return refusal(400, "ResourceInUse");
    const shown = Object.fromEntries(Object.entries(body).filter(([name]) => name in slot && name !== "Password"));
    Object.assign(slot, shown, { Image: body.Image, Inserted: true, ConnectedVia: "URI" });
    return this.wrote(slot);
  }

  private eject(path: string, slot: Json): Answer {
    if (slot.Inserted !== true) return refusal(400, "ResourceNotFound", "medium");
    const tag = slot["@odata.etag"];
    for (const name of Object.keys(slot)) delete slot[name];
    Object.assign(slot, structuredClone(this.empty.get(path)), tag === undefined ? {} : { "@odata.etag": tag });
    return this.wrote(slot);
  }

  /** The system at a path, or the one whose settings resource is there. */
  private systemOf(path: string): [string, Json] | null {
    const systems = Object.entries(this.tree).filter(
      ([, one]) => linked(one.Actions)["#ComputerSystem.Reset"] !== undefined,
    );
    return systems.find(([own, one]) => own === path || this.settingsOf(one) === this.tree[path]) ?? null;
  }

  private settingsOf(system: Json): Json | null {
    const link = linkIn(linked(system["@Redfish.Settings"]).SettingsObject);
    return link === null ? null : (this.tree[plain(link)] ?? null);
  }
}

const plain = (path: string): string => path.replace(/(?<=.)\/+$/, "");

const linked = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});

export function linkIn(value: unknown): string | null {
  const link = linked(value)["@odata.id"];
  return typeof link === "string" ? link : null;
}

/** What a slot shows when nothing is in it. */
function emptied(slot: Json): Json {
  if (slot.Inserted !== true) return structuredClone(slot);
  return { ...structuredClone(slot), Image: null, Inserted: false, ConnectedVia: "NotConnected" };
}

function unknownIn(body: Json, resource: Json): Answer | null {
  const unknown = Object.keys(body).find((name) => !(name in resource));
  return unknown === undefined ? null : refusal(400, "PropertyUnknown", unknown);
}

const samePermutation = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b) && JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());

import "reflect-metadata";
import { X509Certificate as NodeCertificate, webcrypto } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import * as x509 from "@peculiar/x509";

export type Json = Record<string, unknown>;
export interface Seen {
  method: string;
  path: string;
  body: Json | null;
  headers: IncomingMessage["headers"];
}
/**
 * Answers instead of the fake; `undefined` lets the fake answer. `"drop"` closes the socket; a drip sends what is in
 * `head` at once, and then one byte now and then for as long as the connection is open.
 */
export type Fault = (
  seen: Seen,
) =>
  | { status: number; body?: unknown; headers?: Record<string, string>; raw?: string }
  | { head: string; everyMs: number }
  | "drop"
  | undefined;

export const UUID = "4c4c4544-0042-3510-8052-b4c04f4e3132";
export const MAC = "52:54:00:12:34:01";
const SYSTEM = "/redfish/v1/Systems/1";
const MEDIA = `${SYSTEM}/VirtualMedia`;

/** A small Redfish service over TLS with one system, whose every answer a test can bend. */
export class FakeBmc {
  readonly seen: Seen[] = [];
  readonly faults: Fault[] = [];
  logins = 0;
  /** Bytes that were sent one by one, and the connections with them that the client has closed. */
  dripped = 0;
  letGo = 0;
  password = "secret-of-the-fake";
  tokens = new Set<string>();
  power = "On";
  root: Json;
  system: Json;
  boot: Json;
  /** Null: the override lives on the system. */
  settings: Json | null = null;
  secureBoot: Json = { SecureBootEnable: false, SecureBootCurrentBoot: "Disabled" };
  options: Json[];
  media: Json;
  nics: Json[] = [{ MACAddress: MAC.toUpperCase() }];
  /** Applied to a PATCH of Boot; returns a refusal. */
  onBoot: (boot: Json, current: Json) => { status: number; body?: unknown } | "ignore" | undefined = () => undefined;
  onInsert: (body: Json) => { status: number; body?: unknown } | undefined = () => undefined;
  stuckInserted = false;
  etag: "none" | "strong" | "weak" = "none";
  /** Which If-Match is accepted: a predicate over the header. */
  takesTag: (tag: string | undefined) => 412 | 428 | null = () => null;
  version = 1;
  readonly fingerprint: string;
  private constructor(
    private readonly server: Server,
    cert: string,
  ) {
    this.fingerprint = new NodeCertificate(cert).fingerprint256;
    this.root = {
      UUID: "11111111-2222-3333-4444-555555555555",
      Links: { Sessions: { "@odata.id": "/redfish/v1/SessionService/Sessions" } },
      Systems: { "@odata.id": "/redfish/v1/Systems" },
      ProtocolFeaturesSupported: { ExpandQuery: { NoLinks: true, ExpandAll: true, Levels: true } },
    };
    this.boot = {
      BootSourceOverrideEnabled: "Disabled",
      BootSourceOverrideTarget: "None",
      BootSourceOverrideMode: "UEFI",
      HttpBootUri: null,
      "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "Cd", "UefiHttp"],
      BootOrder: ["Boot0001", "Boot0002", "Boot0003"],
      BootOptions: { "@odata.id": `${SYSTEM}/BootOptions` },
    };
    this.options = ["PXE", "Disk", "Shell"].map((name, i) => ({
      "@odata.id": `${SYSTEM}/BootOptions/${i + 1}`,
      BootOptionReference: `Boot000${i + 1}`,
      DisplayName: name,
      UefiDevicePath: `PciRoot(0x0)/Pci(0x${i},0x0)`,
    }));
    this.media = {
      "@odata.id": `${MEDIA}/Cd`,
      MediaTypes: ["CD", "DVD"],
      Image: null,
      Inserted: false,
      ConnectedVia: "NotConnected",
      Actions: {
        "#VirtualMedia.InsertMedia": { target: `${MEDIA}/Cd/Actions/VirtualMedia.InsertMedia` },
        "#VirtualMedia.EjectMedia": { target: `${MEDIA}/Cd/Actions/VirtualMedia.EjectMedia` },
      },
    };
    this.system = {
      "@odata.id": SYSTEM,
      Id: "1",
      UUID,
      Manufacturer: "Contoso",
      Model: "3500",
      SecureBoot: { "@odata.id": `${SYSTEM}/SecureBoot` },
      VirtualMedia: { "@odata.id": MEDIA },
      EthernetInterfaces: { "@odata.id": `${SYSTEM}/EthernetInterfaces` },
      BootProgress: { LastState: "OSRunning" },
      Actions: {
        "#ComputerSystem.Reset": {
          target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
          "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"],
        },
      },
    };
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.serve(request, response);
    });
  }

  static async start(): Promise<FakeBmc> {
    const { cert, key } = await certificate();
    const server = createServer({ cert, key });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeBmc(server, cert);
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Requests by method and path start. */
  count(method: string, path: RegExp): number {
    return this.seen.filter((one) => one.method === method && path.test(one.path)).length;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const seen: Seen = {
      method: request.method ?? "",
      path: request.url ?? "",
      body: text === "" ? null : (JSON.parse(text) as Json),
      headers: request.headers,
    };
    this.seen.push(seen);
    for (const fault of this.faults) {
      const answer = fault(seen);
      if (answer === undefined) continue;
      if (answer === "drop") {
        request.socket.destroy();
        return;
      }
      if ("head" in answer) {
        this.drip(request.socket, answer);
        return;
      }
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      response.end(answer.raw ?? (answer.body === undefined ? "" : JSON.stringify(answer.body)));
      return;
    }
    const { status, body, headers } = this.answer(seen);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body === undefined ? "" : JSON.stringify(body));
  }

  private drip(socket: Socket, { head, everyMs }: { head: string; everyMs: number }): void {
    socket.write(head);
    const timer = setInterval(() => {
      socket.write("x");
      this.dripped++;
    }, everyMs);
    socket.once("close", () => {
      clearInterval(timer);
      this.letGo++;
    });
  }

  private answer(seen: Seen): { status: number; body?: unknown; headers?: Record<string, string> } {
    const [path = "", query = ""] = seen.path.split("?");
    if (path === "/redfish/v1/" || path === "/redfish/v1") return { status: 200, body: this.root };
    if (path === "/redfish/v1/SessionService/Sessions" && seen.method === "POST") return this.login(seen);
    if (!this.tokens.has(String(seen.headers["x-auth-token"]))) return { status: 401 };
    if (path.startsWith("/redfish/v1/SessionService/Sessions/") && seen.method === "DELETE") return { status: 204 };
    if (path === "/redfish/v1/Systems") return collectionAnswer("/redfish/v1/Systems", path, query, [this.systemNow()]);
    if (path === SYSTEM && seen.method === "GET") return { status: 200, body: this.systemNow(), headers: this.tag() };
    if (path === SYSTEM && seen.method === "PATCH") return this.patchBoot(seen, this.boot);
    if (path === `${SYSTEM}/SD` && this.settings) {
      if (seen.method === "PATCH") return this.patchBoot(seen, this.settings);
      return { status: 200, body: { "@odata.id": `${SYSTEM}/SD`, Boot: this.settings }, headers: this.tag() };
    }
    if (path === `${SYSTEM}/SecureBoot`) return { status: 200, body: this.secureBoot };
    if (path.startsWith(`${SYSTEM}/BootOptions`))
      return collectionAnswer(`${SYSTEM}/BootOptions`, path, query, this.options);
    if (path === `${SYSTEM}/EthernetInterfaces`) return { status: 200, body: { Members: this.nics } };
    if (path.endsWith("InsertMedia")) return this.insert(seen.body ?? {});
    if (path.endsWith("EjectMedia")) return this.eject();
    if (path.startsWith(MEDIA)) return collectionAnswer(MEDIA, path, query, [this.media]);
    if (path.endsWith("ComputerSystem.Reset")) return this.reset(String(seen.body?.ResetType));
    return { status: 404 };
  }

  private systemNow(): Json {
    const settings = this.settings ? { "@Redfish.Settings": { SettingsObject: { "@odata.id": `${SYSTEM}/SD` } } } : {};
    return { ...this.system, ...settings, PowerState: this.power, Boot: this.boot };
  }

  private tag(): Record<string, string> {
    if (this.etag === "none") return {};
    return { etag: this.etag === "weak" ? `W/"${this.version}"` : `"${this.version}"` };
  }

  private login(seen: Seen) {
    this.logins++;
    if (seen.body?.UserName !== "admin" || seen.body.Password !== this.password) return { status: 401 };
    const token = `token-${this.logins}`;
    this.tokens.add(token);
    const location = `/redfish/v1/SessionService/Sessions/${this.logins}`;
    return { status: 201, body: { Id: String(this.logins) }, headers: { "x-auth-token": token, location } };
  }

  private patchBoot(seen: Seen, where: Json) {
    const refused = this.takesTag(seen.headers["if-match"]);
    if (refused !== null) return { status: refused };
    const change = (seen.body?.Boot ?? {}) as Json;
    const answer = this.onBoot(change, where);
    if (answer === "ignore") return { status: 204 };
    if (answer !== undefined) return answer;
    Object.assign(where, change);
    this.version++;
    return { status: 204 };
  }

  private insert(body: Json) {
    const answer = this.onInsert(body);
    if (answer !== undefined) return answer;
    Object.assign(this.media, { Image: body.Image, Inserted: true, ConnectedVia: "URI" });
    return { status: 204 };
  }

  private eject() {
    Object.assign(this.media, { Image: null, Inserted: this.stuckInserted, ConnectedVia: "NotConnected" });
    return { status: 204 };
  }

  private reset(type: string) {
    if (type === "On") this.power = "On";
    if (type === "ForceOff" || type === "GracefulShutdown" || type === "PushPowerButton") this.power = "Off";
    if (type === "On" && this.boot.BootSourceOverrideEnabled === "Once")
      this.boot.BootSourceOverrideEnabled = "Disabled";
    return { status: 204 };
  }
}

function collectionAnswer(base: string, path: string, query: string, members: Json[]) {
  if (path !== base) {
    const member = members.find((one) => one["@odata.id"] === path);
    return member ? { status: 200, body: member } : { status: 404 };
  }
  const expanded = decodeURIComponent(query).startsWith("$expand");
  return { status: 200, body: { Members: expanded ? members : members.map((m) => ({ "@odata.id": m["@odata.id"] })) } };
}

export async function certificate(): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=fake-bmc",
    notBefore: new Date("2001-01-01"),
    // Long expired: a pinned certificate holds whatever the clocks say.
    notAfter: new Date("2002-01-01"),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, "$1\n")}\n-----END PRIVATE KEY-----\n`;
  return { cert: cert.toString("pem"), key };
}

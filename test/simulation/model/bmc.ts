import { after, inWorld } from "./clock.js";
import type { Machine } from "./machine.js";
import type { HttpRequest } from "./shims/undici.js";
import { mayBeReset } from "./strangers.js";

export const PASSWORD = "canary-7f3a-password";
const SYSTEM = "/redfish/v1/Systems/1";
const LOGINS = "/redfish/v1/SessionService/Sessions";
const MEDIA = `${SYSTEM}/VirtualMedia`;
const ORDER = ["Boot0001", "Boot0002"];

type Json = { [key: string]: unknown };
export interface BmcAnswer {
  status: number;
  headers: Record<string, string>;
  body: Json | null;
}

export interface Override {
  enabled: string;
  target: string;
  uri: string | null;
}

const answer = (status: number, body: Json | null = null, headers: Record<string, string> = {}): BmcAnswer => ({
  status,
  headers,
  body,
});

/** Some BMCs have the whole request in their errors, secrets and all. */
export const quoting = ({ method, path, headers, body }: HttpRequest): Json => ({
  error: { code: "Base.1.0.GeneralError", message: `${method} ${path} ${JSON.stringify(headers)} ${body ?? ""}` },
});

/** One target's Redfish service: true to DSP0266 where the adversary lets it. */
export class Bmc {
  override: Override = { enabled: "Disabled", target: "None", uri: null };
  medium: string | null = null;
  password = PASSWORD;
  /** Until then it answers nobody. */
  awayUntil = Number.NEGATIVE_INFINITY;
  private sessions = new Set<string>();
  private version = 1;
  private shown: { system: Json; until: number } | null = null;

  constructor(readonly machine: Machine) {}

  /** The firmware has looked at the override: a one-time one is spent. Null: it boots as always. */
  spendOverride(): string | null {
    const { enabled, target } = this.override;
    if (!this.isArmed) return null;
    if (enabled === "Once") this.override = { ...this.override, enabled: "Disabled" };
    this.version++;
    return target;
  }

  get isArmed(): boolean {
    return this.override.enabled !== "Disabled" && this.override.target !== "None";
  }

  expireSessions(): void {
    this.sessions.clear();
  }

  /** Whether a request changes anything but who is logged in. */
  static isWrite({ method, path }: HttpRequest): boolean {
    return method !== "GET" && !path.startsWith(LOGINS);
  }

  handle(request: HttpRequest, session: string | null): BmcAnswer {
    const path = request.path.split("?")[0] ?? "";
    if (path === "/redfish/v1/") return answer(200, this.root());
    if (request.method === "POST" && path === LOGINS) return this.login(request, session);
    if (!this.sessions.has(request.headers["x-auth-token"] ?? "")) return answer(401, { error: {} });
    if (request.method === "DELETE") {
      this.sessions.delete(request.headers["x-auth-token"] ?? "");
      return answer(204);
    }
    if (request.method === "GET") return this.read(path);
    this.machine.world.promises.bmcWrite(this.machine, session, path, JSON.parse(request.body ?? "{}"));
    const written = this.write(path, JSON.parse(request.body ?? "{}"), request.headers["if-match"]);
    if (written.status < 400) this.machine.world.promises.bmcTook(this.machine, session);
    return written;
  }

  private root(): Json {
    return {
      "@odata.id": "/redfish/v1/",
      UUID: this.machine.uuid,
      Vendor: "Simulated",
      Systems: { "@odata.id": "/redfish/v1/Systems" },
      Links: { Sessions: { "@odata.id": LOGINS } },
    };
  }

  private login(request: HttpRequest, session: string | null): BmcAnswer {
    const ok = (JSON.parse(request.body ?? "{}") as Json).Password === this.password;
    this.machine.world.promises.login(this.machine, session, ok);
    if (!ok) return answer(401, quoting(request));
    const token = this.machine.world.random.bytes(8).toString("hex");
    this.sessions.add(token);
    this.machine.world.promises.bmcTokenGiven(token);
    return answer(
      201,
      { Id: token.slice(0, 6) },
      { "x-auth-token": token, location: `${LOGINS}/${token.slice(0, 6)}` },
    );
  }

  private read(path: string): BmcAnswer {
    if (path === SYSTEM) {
      this.machine.world.promises.bmcRead(this.machine);
      return answer(200, this.systemShown(), { etag: `"${this.version}"` });
    }
    if (path === MEDIA) return answer(200, { Members: [{ "@odata.id": `${MEDIA}/Cd` }] });
    if (path === `${MEDIA}/Cd`) return answer(200, this.drive());
    if (path === `${SYSTEM}/BootOptions`) {
      return answer(200, { Members: ORDER.map((one) => ({ "@odata.id": `${SYSTEM}/BootOptions/${one}` })) });
    }
    const option = ORDER.find((one) => path === `${SYSTEM}/BootOptions/${one}`);
    if (option) return answer(200, { BootOptionReference: option, Name: option, UefiDevicePath: `path/${option}` });
    return answer(404, { error: {} });
  }

  /** Stale readings: for a while it shows what was so before. */
  private systemShown(): Json {
    const { world } = this.machine;
    if (this.shown && world.now() < this.shown.until) return structuredClone(this.shown.system);
    const system = this.system();
    const staleMs = world.adversary.staleMs();
    this.shown = staleMs > 0 ? { system, until: world.now() + staleMs } : null;
    const lie = world.adversary.powerLie();
    return lie ? { ...system, PowerState: lie } : system;
  }

  private system(): Json {
    const { enabled, target, uri } = this.override;
    return {
      "@odata.id": SYSTEM,
      Id: "1",
      UUID: this.machine.uuid,
      PowerState: this.machine.power,
      Boot: {
        BootSourceOverrideEnabled: enabled,
        BootSourceOverrideTarget: target,
        BootSourceOverrideMode: "Legacy",
        HttpBootUri: uri,
        BootOrder: ORDER,
        BootOptions: { "@odata.id": `${SYSTEM}/BootOptions` },
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Hdd"],
      },
      VirtualMedia: { "@odata.id": MEDIA },
      Actions: {
        "#ComputerSystem.Reset": {
          target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
          "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"],
        },
      },
    };
  }

  private drive(): Json {
    const stuck = this.medium === null && this.machine.world.adversary.showsEjected();
    return {
      "@odata.id": `${MEDIA}/Cd`,
      MediaTypes: ["CD"],
      Image: this.medium,
      Inserted: this.medium !== null || stuck,
      ConnectedVia: this.medium === null ? "NotConnected" : "URI",
      Actions: {
        "#VirtualMedia.InsertMedia": { target: `${MEDIA}/Cd/Actions/VirtualMedia.InsertMedia` },
        "#VirtualMedia.EjectMedia": { target: `${MEDIA}/Cd/Actions/VirtualMedia.EjectMedia` },
      },
    };
  }

  private write(path: string, body: Json, tag: string | undefined): BmcAnswer {
    if (path === SYSTEM) {
      if (tag !== undefined && tag !== `"${this.version}"`) return answer(412, { error: {} });
      const boot = (body.Boot ?? {}) as Json;
      if (this.machine.world.adversary.ignoresPatch()) return answer(200, this.system());
      this.override = {
        enabled: String(boot.BootSourceOverrideEnabled ?? this.override.enabled),
        target: String(boot.BootSourceOverrideTarget ?? this.override.target),
        uri: this.override.uri,
      };
      this.version++;
      this.machine.world.tell(`${this.machine.name}: override ${this.override.enabled} ${this.override.target}`);
      if (this.isArmed) mayBeReset(this.machine);
      return answer(200, this.system());
    }
    if (path.endsWith("InsertMedia")) this.medium = String(body.Image);
    else if (path.endsWith("EjectMedia")) this.medium = null;
    else if (path.endsWith("ComputerSystem.Reset")) this.reset(String(body.ResetType));
    else return answer(404, { error: {} });
    return answer(204);
  }

  private reset(kind: string): void {
    const { machine } = this;
    machine.world.tell(`${machine.name}: ${kind} (it is ${machine.power}, ${machine.running})`);
    if (machine.world.adversary.losesReset()) return;
    inWorld(() =>
      after(machine.world.random.between(100, 4_000), () => {
        if (kind === "On") machine.powerOn();
        else if (kind === "ForceOff") machine.powerOff("forced");
        else if (kind === "ForceRestart") machine.reboot("forced");
        else machine.askToShutDown();
      }),
    );
  }
}

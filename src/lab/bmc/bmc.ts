import { createHash } from "node:crypto";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { LabMachine } from "../machine.js";
import { FaultSet, type FaultSpec } from "./faults/index.js";
import { Journal } from "./journal.js";
import { MediaDrive } from "./media.js";
import { type PowerTiming, PowerUnit } from "./power.js";
import { RedfishService } from "./service.js";
import { type Login, Sessions } from "./sessions.js";
import { BmcStateFile, NO_OVERRIDE } from "./state.js";
import type { LabIdentity } from "./tls.js";

export interface BmcOptions {
  machine: LabMachine;
  /** Folder of this BMC: its state and its media. */
  dir: string;
  host: string;
  /** 0: the operating system chooses. */
  port: number;
  identity: LabIdentity;
  login: Login;
  timing: PowerTiming;
  /** Seconds that a session may be idle. DSP0268 allows clients 30 and more; a lab may begin with less. */
  sessionTimeoutSeconds: number;
  /** PEM file against which HTTPS media servers are verified; null: the system's CAs. */
  mediaCaFile: string | null;
  secureBoot: boolean;
  /** Whether a machine that the lab has never had is switched on at once. */
  initialPower: "on" | "off";
  /** Gets a line for each power event and each answer. */
  tell?: (what: string) => void;
  /** Injected before the service answers its first request. */
  faults?: readonly FaultSpec[];
}

/** One BMC: a Redfish service over TLS in front of one machine, with an origin of its own. */
export class LabBmc {
  readonly machine: LabMachine;
  readonly journal: Journal;
  readonly faults: FaultSet;
  readonly fingerprint256: string;
  readonly #server: Server;
  readonly #host: string;
  readonly #power: PowerUnit;
  readonly #state: BmcStateFile;
  readonly #sessions: Sessions;

  private constructor(parts: {
    options: BmcOptions;
    journal: Journal;
    faults: FaultSet;
    server: Server;
    power: PowerUnit;
    state: BmcStateFile;
    sessions: Sessions;
  }) {
    this.machine = parts.options.machine;
    this.fingerprint256 = parts.options.identity.fingerprint256;
    this.#host = parts.options.host;
    this.journal = parts.journal;
    this.faults = parts.faults;
    this.#server = parts.server;
    this.#power = parts.power;
    this.#state = parts.state;
    this.#sessions = parts.sessions;
  }

  /** Listens, puts the medium back, and applies the power policy. */
  static async start(options: BmcOptions): Promise<LabBmc> {
    const { machine, dir } = options;
    const state = await BmcStateFile.open(join(dir, "bmc.json"), {
      override: NO_OVERRIDE,
      medium: null,
      verifyCertificate: options.mediaCaFile !== null,
      powerRestorePolicy: "LastState",
      wasOn: options.initialPower === "on",
      sessionTimeoutSeconds: options.sessionTimeoutSeconds,
      assetTag: "",
    });
    const journal = new Journal(options.tell);
    const faults = new FaultSet();
    for (const fault of options.faults ?? []) faults.inject(fault);
    const sessions = new Sessions(options.login, () => state.current.sessionTimeoutSeconds);
    const power = new PowerUnit({ machine, state, journal, faults, timing: options.timing });
    const media = new MediaDrive({
      machine,
      state,
      journal,
      dir: join(dir, "media"),
      caFile: options.mediaCaFile,
    });
    await media.restore();
    const service = new RedfishService({
      name: machine.name,
      machine,
      serviceUuid: serviceUuidOf(machine.uuid),
      userName: options.login.userName,
      secureBoot: options.secureBoot,
      state,
      power,
      media,
      sessions,
      journal,
      faults,
    });
    const { key, cert } = options.identity;
    const server = createServer(
      { key, cert, keepAliveTimeout: 15_000, requestTimeout: 60_000 },
      (request, response) => {
        void service.handle(request, response);
      },
    );
    server.maxConnections = 128;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, resolve);
    });
    power.restore();
    return new LabBmc({ options, journal, faults, server, power, state, sessions });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The origin, as a target's document names it. */
  get url(): string {
    const host = this.#host.includes(":") ? `[${this.#host}]` : this.#host;
    return `https://${host}:${this.port}`;
  }

  /** Resolves when every Reset accepted so far has taken effect. */
  settled(): Promise<void> {
    return this.#power.settled();
  }

  /** The override as the BMC holds it now. */
  get override() {
    return this.#state.current.override;
  }

  get insertedImage(): string | null {
    return this.#state.current.medium?.image ?? null;
  }

  /** Ends every login, as an idle time-out or a BMC's own restart does. */
  dropSessions(): void {
    this.#sessions.closeAll();
  }

  /** Stops the service. The machine is left as it is: who made it disposes of it. */
  async close(): Promise<void> {
    await this.#power.stop();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** A UUID (version 8) of the service that stays the same for a machine, and is not the machine's. */
function serviceUuidOf(systemUuid: string): string {
  const hex = createHash("sha256").update(`redfish service of ${systemUuid}`).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}

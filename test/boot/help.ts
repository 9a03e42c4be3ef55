import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Agent, request } from "undici";
import { afterAll } from "vitest";
import type { DoneRequest, HelloRequest } from "../../src/domain/agent.js";
import { PitstopError } from "../../src/domain/errors.js";
import { type PlannedWay, SitePlan, type TaskResult } from "../../src/domain/session.js";
import type { BootSnapshot } from "../../src/domain/snapshot.js";
import type { SiteEntry } from "../../src/site/entry.js";
import type { SessionLink, SiteProgress } from "../../src/site/session-link.js";
import { openFileStore } from "../../src/stores/file-store.js";
import type { ObjectStore } from "../../src/stores/store.js";
import { type RunningSite, type SiteOptions, startSite } from "../../workers/start-site.js";

export const UUID = "4c4c4544-0042-4810-8051-b4c04f4e4d31";
export const MAC = "52:54:00:12:34:01";
export const BOOT_ID = "0f6d6a1c-3a55-4a3e-9a64-0d3c52a4f7f1";
export const OTHER_BOOT_ID = "11111111-3a55-4a3e-9a64-0d3c52a4f7f1";
export const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** What `SessionLink` was told, and answers that a test chooses. */
export class RecordedLink implements SessionLink {
  readonly hellos: HelloRequest[] = [];
  readonly dones: { request: DoneRequest; results: TaskResult[] }[] = [];
  readonly reboots: { bootId: string; how: string }[] = [];
  readonly events: SiteProgress[] = [];
  looks = 0;
  alive: boolean | "unknown" = true;
  /** Sessions that are not alive whatever `alive` says; and which of these went through their own end. */
  readonly ended = new Set<string>();
  readonly over = new Set<string>();
  fail: "never" | "unreachable" | "gone" = "never";

  async hello(_entry: SiteEntry, request: HelloRequest): Promise<void> {
    this.#answer();
    this.hellos.push(request);
  }
  async done(_entry: SiteEntry, request: DoneRequest, results: TaskResult[]): Promise<void> {
    this.#answer();
    this.dones.push({ request, results });
  }
  async rebooted(_entry: SiteEntry, bootId: string, how: string): Promise<void> {
    this.#answer();
    this.reboots.push({ bootId, how });
  }
  async isAlive(entry: SiteEntry): Promise<boolean> {
    this.looks++;
    if (this.alive === "unknown") throw new PitstopError("unreachable", "Temporal cannot be asked.");
    return this.alive && !this.ended.has(entry.session);
  }
  async isOver(_target: string, session: string): Promise<boolean> {
    return this.over.has(session);
  }
  progress(_entry: SiteEntry, event: SiteProgress): void {
    this.events.push(event);
  }
  #answer(): void {
    if (this.fail === "unreachable") throw new PitstopError("unreachable", "Temporal cannot be reached.");
    if (this.fail === "gone") throw new PitstopError("notFound", "There is no such session.");
  }
}

export const KERNEL = Buffer.from("kernel".repeat(1000));
export const INITRD = Buffer.from("initrd".repeat(1001));

type Options = Partial<Omit<SiteOptions, "config">> & { config?: Partial<SiteOptions["config"]> };

/** A site with a folder of its own, which a test may stop and start again. */
export class TestSite {
  readonly folder = mkdtempSync(join(tmpdir(), "pitstop-site-"));
  readonly images = join(this.folder, "images");
  readonly link = new RecordedLink();
  readonly objects: ObjectStore = openFileStore(join(this.folder, "objects"));
  readonly options: Options;
  nowMs: number | null = null;
  #running: RunningSite | null = null;
  #agent: Agent | null = null;

  constructor(options: Options = {}) {
    this.options = options;
    mkdirSync(this.images);
    writeFileSync(join(this.images, "vmlinuz"), KERNEL);
    writeFileSync(join(this.images, "initrd"), INITRD);
  }

  get running(): RunningSite {
    if (!this.#running) throw new Error("the site does not run");
    return this.#running;
  }

  get site() {
    return this.running.site;
  }

  async start(): Promise<this> {
    const listen = { host: "127.0.0.1", port: 0 };
    this.#running = await startSite({
      stores: { objects: this.objects, sources: { root: this.images } },
      link: this.link,
      log: pino({ level: process.env.TEST_LOG ?? "silent" }),
      now: () => this.nowMs ?? Date.now(),
      ...this.options,
      config: {
        PITSTOP_DATA: this.folder,
        PITSTOP_SITE_LISTEN: listen,
        PITSTOP_SITE_TLS_LISTEN: listen,
        PITSTOP_SITE_URL: undefined,
        PITSTOP_SITE_TLS_URL: undefined,
        ...this.options.config,
      },
    });
    this.#agent = new Agent({ connect: { ca: this.#running.ca, servername: "localhost" }, pipelining: 0 });
    return this;
  }

  async stop(): Promise<void> {
    await this.#agent?.destroy();
    await this.#running?.close();
    this.#running = null;
  }

  async restart(): Promise<this> {
    await this.stop();
    return await this.start();
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A request to the plain listener. */
  async get(path: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" | "POST" | "PUT" = "GET") {
    const answer = await request(`http://127.0.0.1:${this.running.ports.http}${path}`, { method, headers });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString() };
  }

  /** A BMC's request for a medium, to the TLS listener. */
  async media(path: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET") {
    if (!this.#agent) throw new Error("the site does not run");
    const url = `https://127.0.0.1:${this.running.ports.tls}${path}`;
    const answer = await request(url, { method, headers, dispatcher: this.#agent });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers, bytes };
  }

  /** A request to the TLS listener. */
  async agent(
    method: "GET" | "POST" | "PUT",
    path: string,
    options: { token?: string; json?: unknown; bytes?: Buffer | string; headers?: Record<string, string> } = {},
  ) {
    if (!this.#agent) throw new Error("the site does not run");
    const headers: Record<string, string> = { ...options.headers };
    if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
    if (options.json !== undefined) headers["content-type"] = "application/json";
    if (options.bytes !== undefined) headers["content-type"] ??= "application/octet-stream";
    const answer = await request(`https://127.0.0.1:${this.running.ports.tls}${path}`, {
      method,
      headers,
      dispatcher: this.#agent,
      body: options.json !== undefined ? JSON.stringify(options.json) : (options.bytes ?? null),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, text, json: jsonOf(text) };
  }

  /** Opened, staged, published: the target may boot. */
  async publish(plan: SitePlan = planOf(), epoch = 1): Promise<void> {
    await this.site.open(plan, plan.session);
    const way = firstWay(plan);
    await this.site.stage(plan, way, () => {}, new AbortController().signal);
    await this.site.publish(plan.target.name, plan.session, epoch, way, false);
  }

  /** The nonce of a fresh fetch of the boot script. */
  async nonce(uuid = UUID): Promise<string> {
    const { text } = await this.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${uuid}&serial=x`);
    const nonce = /\/b\/([^/]+)\/vmlinuz/.exec(text)?.[1];
    if (!nonce) throw new Error(`no session script: ${text}`);
    return nonce;
  }

  async hello(nonce: string, more: Partial<HelloRequest> = {}) {
    return await this.agent("POST", "/agent/v1/hello", {
      json: { protocol: "1", nonce, bootId: BOOT_ID, uuid: UUID, macs: [MAC], firmware: "bios", ...more },
    });
  }

  /** Published, fetched, greeted: the token of the boot. */
  async token(plan: SitePlan = planOf()): Promise<string> {
    await this.publish(plan);
    const answer = await this.hello(await this.nonce());
    if (answer.status !== 200) throw new Error(answer.text);
    return String(answer.json.token);
  }
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Sites of a test, gone after it. */
export function sites(): (options?: ConstructorParameters<typeof TestSite>[0]) => Promise<TestSite> {
  const made: TestSite[] = [];
  // Not after each test: others may run beside it.
  afterAll(async () => {
    for (const site of made.splice(0)) await site.dispose();
  });
  return async (options) => {
    const site = new TestSite(options);
    made.push(site);
    return await site.start();
  };
}

interface PlanOptions {
  name?: string;
  session?: string;
  firmware?: "uefi" | "bios";
  home?: string;
  uuid?: string;
  macs?: string[];
  mode?: "active" | "passive";
  leaseMs?: number;
  homeMs?: number;
  /** Of the whole session, milliseconds. */
  leftMs?: number;
  cmdline?: string[];
  grade?: "lan" | "sealed";
  via?: "pxe" | "uefi-http" | "virtual-media";
  initrds?: { url: string; sha256: string }[];
  kernel?: { url: string; sha256: string };
  tasks?: { id: string; name: string; scriptSha256: string }[];
  params?: Record<string, string>;
}

export function planOf(of: PlanOptions = {}): SitePlan {
  const firmware = of.firmware ?? "bios";
  return SitePlan.parse({
    session: of.session ?? "0196f1d2-0000-7000-8000-000000000001",
    workflowId: `maintenance/${of.name ?? "r1-n07"}`,
    requestedBy: "test",
    target: {
      kind: "Target",
      name: of.name ?? "r1-n07",
      labels: {},
      identity: { uuid: of.uuid ?? UUID, macs: of.macs ?? [MAC] },
      control: [{ redfish: { url: "https://127.0.0.1:1", credentials: { env: "BMC" } } }],
      boot: { firmware, via: [of.via ?? "pxe"], home: of.home },
      home: [{ tcp: { host: "127.0.0.1", port: 1 } }],
    },
    action: {
      name: "look",
      mode: of.mode ?? "active",
      report: null,
      destructive: false,
      onReboot: "restore",
      approval: false,
      interactive: false,
      tasks: (of.tasks ?? [{ id: "look-1", name: "look", scriptSha256: sha256("true\n") }]).map((task) => ({
        timeoutMs: 60_000,
        destructive: false,
        devices: [],
        ...task,
      })),
      params: of.params ?? {},
    },
    image: {
      kind: "Image",
      name: "test-image",
      labels: {},
      role: "maintenance",
      arch: "x86_64",
      kernel: of.kernel ?? { url: "file:images/vmlinuz", sha256: sha256(KERNEL) },
      initrds: of.initrds ?? [{ url: "file:images/initrd", sha256: sha256(INITRD) }],
      cmdline: of.cmdline ?? ["console=ttyS0,115200"],
    },
    ways: [{ via: of.via ?? "pxe", grade: of.grade ?? "lan" }],
    adopted: null,
    limits: {
      gracefulMs: 1000,
      bootMs: 60_000,
      bootAttempts: 2,
      workMs: 60_000,
      leaseMs: of.leaseMs ?? 300_000,
      homeMs: of.homeMs ?? 60_000,
      totalMs: 3_600_000,
    },
    now: { leftMs: of.leftMs ?? 3_600_000, moved: 0, retries: 0 },
  });
}

/** The way that the plan tries first. */
export function firstWay({ ways: [way] }: SitePlan): PlannedWay {
  if (!way) throw new Error("the plan has no boot way");
  return way;
}

export const PXE: PlannedWay = { via: "pxe", grade: "lan" };

/** When the session of a plan that is opened now is over, in milliseconds since 1970. */
export const endOf = (plan: SitePlan): number => Date.now() + plan.now.leftMs;

export const taskOf = (id: string, script = "true\n") => ({
  id,
  name: id,
  script,
  env: {},
  timeoutSeconds: 60,
  unlock: [],
});

export function snapshotOf(session: string, power: "On" | "Off" = "On"): BootSnapshot {
  return {
    target: "r1-n07",
    session,
    takenAt: "2026-01-01T00:00:00.000Z",
    identity: { serviceUuid: null, systemUuid: UUID, system: "1", manufacturer: null, model: null, macs: [] },
    state: {
      readAt: "2026-01-01T00:00:00.000Z",
      control: "redfish",
      power,
      override: { enabled: "Disabled", target: null, mode: null, httpBootUri: null },
      bootOrder: [],
      media: [],
      secureBoot: false,
    },
    home: [],
  };
}

import type { Client } from "@temporalio/client";
import type { Logger } from "pino";
import { Action } from "../../../src/domain/action.js";
import { Image } from "../../../src/domain/image.js";
import type { SessionRequest } from "../../../src/domain/session.js";
import { Target } from "../../../src/domain/target.js";
import type { SiteEntry } from "../../../src/site/entry.js";
import type { ObjectStore } from "../../../src/stores/store.js";
import { temporalLink } from "../../../src/temporal/link.js";
import { startSessions } from "../../../workers/sessions.js";
import { startSiteRole } from "../../../workers/site-role.js";
import { maintenanceSession } from "../../../workflows/maintenanceSession.js";
import { Adversary } from "./adversary.js";
import { PASSWORD } from "./bmc.js";
import { SimulatedCatalogue, simulatedObjects } from "./catalogue.js";
import { after, elapsed, inWorld, Life, within } from "./clock.js";
import { Disk } from "./disk.js";
import { Later } from "./later.js";
import { type Boot, Machine } from "./machine.js";
import { Network } from "./network.js";
import { Promises } from "./promises.js";
import { Random } from "./random.js";
import type { Options } from "./seed.js";
import { type Execution, Temporal } from "./temporal.js";

const DATA = "/data";
export const LEASE_MS = 120_000;
const CUT_MS = 40 * 60_000;

let present: World | null = null;
/** The world of the seed that runs: the shims of what the product imports find it here. */
export function theWorld(): World {
  if (!present) throw new Error("No seed runs.");
  return present;
}

/** Everything outside of the product, and the product's processes in it. */
export class World {
  readonly random: Random;
  readonly adversary: Adversary;
  readonly later: Later;
  readonly promises: Promises;
  readonly temporal: Temporal;
  readonly network: Network;
  readonly disk: Disk;
  readonly catalogue: SimulatedCatalogue;
  readonly machines: Machine[] = [];
  readonly story: string[] = [];
  readonly phases = new Set<string>();
  private readonly objects: ObjectStore;
  /** By how much the hosts' clocks are wrong, whatever is started on them. */
  private readonly wrongMs = { site: 0, sessions: 0 };
  private siteLife: Life | null = null;
  private sessionsLife: Life | null = null;
  siteStarts = 0;
  private siteWasSetBack = false;
  /** When the site last came up after its clock had been set back: it cannot know how old the leases in its journal are. */
  siteFoundBackAt = Number.NEGATIVE_INFINITY;

  private wasCut = false;

  constructor(
    readonly seed: number,
    readonly options: Options,
  ) {
    present = this;
    const { first = false, cut } = options;
    const quiet = options.quiet === true || cut !== undefined;
    this.random = new Random(seed);
    this.adversary = new Adversary(new Random(seed + 1_000_003), elapsed, quiet);
    this.later = new Later(new Random(seed + 2_000_003), elapsed, this.adversary.hits, quiet || first);
    this.objects = simulatedObjects(this);
    this.promises = new Promises(this);
    this.temporal = new Temporal(this);
    this.network = new Network(this);
    this.disk = new Disk(this.random, this.adversary);
    this.catalogue = new SimulatedCatalogue(this);
    process.env.SIMULATED_BMC = `root:${PASSWORD}`;
    const targets = this.random.chance(0.2) ? 2 : 1;
    for (let nth = 0; nth < targets; nth++) this.addTarget(nth);
    this.addActions();
  }

  now(): number {
    return elapsed();
  }

  tell(line: string): void {
    this.story.push(`${(elapsed() / 1000).toFixed(3).padStart(10)}  ${line}`);
  }

  /** Cuts off who is to be cut off in this phase, once; a person who is called for that is called in vain. */
  entered(run: Execution, phase: string): void {
    const { cut } = this.options;
    if (!cut) return;
    if (phase === "stranded") this.promises.break(1, `${run.id} calls a person for what is only away.`);
    if (phase !== cut.phase || this.wasCut) return;
    this.wasCut = true;
    this.tell(`the ${cut.who} is cut off for ${CUT_MS / 60_000} minutes`);
    for (const machine of this.machines) if (cut.who === "bmc") machine.bmc.awayUntil = elapsed() + CUT_MS;
    if (cut.who === "site") inWorld(() => after(1, () => this.killSite(CUT_MS)));
  }

  startSite(): void {
    const life = new Life("site");
    life.skewMs = this.wrongMs.site;
    if ((this.siteLife?.skewMs ?? 0) > life.skewMs) this.siteWasSetBack = true;
    if (this.siteWasSetBack) this.siteFoundBackAt = elapsed();
    this.siteLife = life;
    this.siteStarts++;
    inWorld(() => this.tell("the site starts"));
    const config = {
      PITSTOP_DATA: DATA,
      PITSTOP_SITE: "default",
      PITSTOP_SITE_URL: "http://site",
      PITSTOP_SITE_TLS_URL: "https://site",
      PITSTOP_SITE_BMC_URL: "https://site",
      PITSTOP_SITE_LISTEN: {},
      PITSTOP_SITE_TLS_LISTEN: {},
    };
    within({ life }, () => {
      startSiteRole({
        config: config as never,
        temporal: { client: this.temporal.client() } as never,
        objects: this.objects,
        link: temporalLink(this.temporal.client() as unknown as Client, () => undefined),
        onStart: () => undefined,
        log: this.log("site"),
      }).catch((error: Error) => {
        this.tell(`the site did not start: ${error.message}`);
        this.killSite(5_000);
      });
    });
  }

  startSessions(): void {
    const life = new Life("sessions");
    life.skewMs = this.wrongMs.sessions;
    this.sessionsLife = life;
    within({ life }, () => {
      void startSessions({
        temporal: { client: this.temporal.client() } as never,
        catalogue: this.catalogue.asCatalogue(),
        objects: this.objects,
        sessions: {} as never,
        watch: () => undefined,
        log: this.log("sessions"),
      });
    });
  }

  killSite(downMs: number): void {
    if (!this.siteLife?.alive) return;
    this.siteLife.alive = false;
    this.tell("the site is killed");
    inWorld(() => after(downMs, () => this.startSite()));
  }

  killSessions(downMs: number): void {
    if (!this.sessionsLife?.alive) return;
    this.sessionsLife.alive = false;
    this.tell("the sessions' process is killed");
    inWorld(() => after(downMs, () => this.startSessions()));
  }

  jumpClock(ms: number): void {
    this.setSiteClock(ms);
    this.tell(`the site's clock jumps by ${Math.round(ms / 1000)} s`);
  }

  /** Clocks of hosts: what is started there has them too. Temporal is where the sessions are. */
  setClocks(ms: number, whose: "sessions" | "all"): void {
    if (ms !== 0) this.tell(`${whose === "all" ? "all clocks are" : "the sessions' clock is"} wrong by ${ms / 1000} s`);
    this.wrongMs.sessions = ms;
    if (this.sessionsLife) this.sessionsLife.skewMs = ms;
    this.temporal.setClock(ms);
    if (whose === "sessions") return;
    this.wrongMs.site = ms;
    this.setSiteClock(ms);
  }

  private setSiteClock(ms: number): void {
    if (!this.siteLife) return;
    if (ms < this.siteLife.skewMs) this.siteWasSetBack = true;
    this.siteLife.skewMs = ms;
  }

  startSession(machine: Machine, request: Partial<SessionRequest>, id = `maintenance/${machine.name}`) {
    const whole = { target: machine.name, requestedBy: "simulation", ...request };
    const run = this.temporal.start(id, maintenanceSession as never, whole);
    this.tell(
      `${run ? "started" : "refused to start"} ${id}: ${request.restoreOnly ? "restore only" : request.action}`,
    );
    return run;
  }

  launch(id: string, request: unknown) {
    const run = this.temporal.start(id, maintenanceSession as never, request);
    const { action, requestedBy } = request as SessionRequest;
    this.tell(`${run ? "started" : "refused to start"} ${id}: ${action ?? "restore only"}, by ${requestedBy}`);
    return run;
  }

  /** The site's journal entry as it is on its disk now. */
  entry(machine: Machine): SiteEntry | null {
    try {
      return JSON.parse(this.disk.read(this.journalFile(machine)).toString()) as SiteEntry;
    } catch {
      return null;
    }
  }

  journalFile(machine: Machine): string {
    return `${DATA}/site/journal/${machine.name}.json`;
  }

  loseJournal(): void {
    this.disk.lose(`${DATA}/site/journal`);
  }

  bootOfNonce(machine: Machine, nonce: string): Boot | null {
    const entry = this.entry(machine);
    if (!entry?.boot) return null;
    // By the site's clock alone, as it stands in the archive: the target's own may be of any year.
    const minted = entry.boot.nonces.find((one) => one.nonce === nonce)?.mintedAt ?? "";
    const deadline = Date.parse(entry.absoluteDeadline) - Date.parse(minted);
    const { wasOff } = entry.boot;
    return { nonce, leaseMs: LEASE_MS, deadlineMs: elapsed() + deadline, wasOff, bootId: machine.bootId };
  }

  bootOfMedium(machine: Machine): Boot | null {
    const entry = this.entry(machine);
    const segment = entry?.boot?.mediaSegment;
    const nonce = entry?.boot?.nonces[0]?.nonce;
    const listens = this.siteLife?.alive && segment && machine.bmc.medium?.includes(segment);
    return listens && nonce ? this.bootOfNonce(machine, nonce) : null;
  }

  private addTarget(nth: number): void {
    const machine = new Machine(this, `t${nth}`, nth, !this.random.chance(0.15));
    this.machines.push(machine);
    const target = Target.parse({
      kind: "Target",
      name: machine.name,
      identity: { uuid: machine.uuid, macs: [machine.mac] },
      control: [
        {
          redfish: {
            url: `https://bmc-${nth}`,
            system: "1",
            credentials: { env: "SIMULATED_BMC" },
            tls: { fingerprint256: Array(32).fill("AB").join(":") },
          },
        },
      ],
      boot: { firmware: "bios", via: [this.random.chance(0.3) ? "virtual-media" : "pxe"] },
      shutdown: { graceful: "60s", then: this.random.chance(0.25) ? "force" : "abort" },
      home: [{ http: { url: `https://home-${nth}/` } }],
    });
    this.catalogue.documents.set(`Target/${machine.name}`, target);
    this.promises.known(machine, target.shutdown.then);
  }

  private addActions(): void {
    const file = { url: "file:images/x", sha256: "a".repeat(64) };
    const limits = { boot: "2m", bootAttempts: 2, work: "15m", lease: `${LEASE_MS / 1000}s`, home: "4m" };
    const task = (name: string) => ({ name, script: "true", timeout: "5m" });
    const image = { kind: "Image", name: "base", role: "maintenance", arch: "x86_64", kernel: file, initrds: [file] };
    const actions: object[] = [
      { name: "active", image: "base", mode: "active", tasks: [task("one"), task("two")], limits },
      { name: "resume", image: "base", mode: "active", tasks: [task("one"), task("two")], onReboot: "resume", limits },
      { name: "passive", image: "base", mode: "passive", tasks: [task("one")], limits },
      { name: "cycle", mode: "active", limits },
      { name: "approved", image: "base", mode: "active", tasks: [task("one")], approval: true, limits },
    ];
    this.catalogue.documents.set("Image/base", Image.parse(image));
    for (const one of actions) {
      const action = Action.parse({ kind: "Action", ...one });
      this.catalogue.documents.set(`Action/${action.name}`, action);
    }
  }

  private log(who: string): Logger {
    const tell = (facts: object | string, message?: string) => this.logged(who, facts, message);
    // The story has what somebody should look at; what is written is searched, whatever its level.
    const write = (facts: object | string, message = "") => this.promises.shown(`${message} ${written(facts)}`);
    return { trace: write, debug: write, info: write, warn: tell, error: tell, fatal: tell } as unknown as Logger;
  }

  private logged(who: string, facts: object | string, message?: string): void {
    const text = typeof facts === "string" ? facts : `${message} ${JSON.stringify(facts)}`;
    // Without the stack: a story is the same in every folder, and after every change that changes nothing.
    this.tell(`${who}: ${text.replace(/\\n {4}at [^"]*/g, "").slice(0, 300)}`);
    this.promises.shown(`${message ?? ""} ${written(facts)}`);
  }
}

/** As a logger writes facts: an error with its message and its causes. */
const written = (facts: object | string): string =>
  JSON.stringify(facts, (_key, value: unknown) =>
    value instanceof Error ? { ...value, message: value.message, stack: value.stack, cause: value.cause } : value,
  );

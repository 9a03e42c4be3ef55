import type { SessionLink, SiteEntry } from "../boot/site.js";
import type {
  AgentTask,
  DoneRequest,
  HelloRequest,
  HelloResponse,
  NextResponse,
  ProgressRequest,
  ProgressResponse,
  ResultRequest,
} from "../domain/agent.js";
import { PitstopError } from "../domain/errors.js";
import { masked } from "../domain/mask.js";
import type { TaskResult } from "../domain/session.js";
import { Desk, ended, type Order, type Power } from "./desk.js";
import { type Caller, Doorkeeper, type DoorkeeperOptions } from "./doorkeeper.js";
import { keepResult } from "./keep-result.js";
import { Leases } from "./lease.js";
import { Outbox } from "./outbox.js";
import { refusal } from "./refusal.js";
import { TaskLogs } from "./task-log.js";

/** How long a reboot's news may take to the session before those who wait for the agent are sent away: a healthy Temporal's. */
const REBOOT_TOLD_MS = 2_000;
/** Results that one session may leave at a site. */
const MAX_RESULTS = 512;

export interface GatewayOptions extends DoorkeeperOptions {
  link: SessionLink;
  /** Folder of the logs of running tasks. */
  logFolder: string;
}

/** The server's side of the agent protocol (docs/agent-protocol.md), without HTTP. */
export class AgentGateway {
  readonly #options: GatewayOptions;
  readonly #door: Doorkeeper;
  readonly #outbox: Outbox;
  readonly #leases: Leases;
  readonly #logs: TaskLogs;
  readonly #desk = new Desk();
  /** Results being kept, so that a message that comes twice at once is kept once. */
  readonly #keeping = new Map<string, Promise<TaskResult>>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.sessions, options.link, options.log);
    this.#leases = new Leases(options.sessions, options.link, options.now, options.log, (entry, how) =>
      this.rebooted(entry, how),
    );
    this.#door = new Doorkeeper(options, {
      outbox: this.#outbox,
      leases: this.#leases,
      secondHello: (entry, how, bootId) => this.rebooted(entry, how, bootId),
    });
    this.#logs = new TaskLogs(options.logFolder);
  }

  /** After the process has started: what was not told is told, and open sessions are looked after again. */
  resume(): void {
    this.#outbox.resume();
    this.#leases.resume();
  }

  close(): void {
    this.#outbox.close();
    this.#leases.close();
    this.#desk.close();
  }

  // ---- what sessions ask

  async offer(target: string, session: string, task: AgentTask, signal: AbortSignal): Promise<TaskResult> {
    const entry = this.#own(target, session);
    if (entry.boot?.revoked || entry.ledger.withdrawnAt !== null) throw ended(target);
    await this.#remember(entry, task);
    return await this.#desk.offer(entry, task, signal);
  }

  async finish(target: string, session: string, power: Power, waitMs: number): Promise<boolean> {
    const entry = this.#options.sessions.get(target);
    return entry?.session === session ? await this.#desk.finish(entry, power, waitMs) : false;
  }

  /** The boot was withdrawn or armed anew: nobody waits for its agent any longer. */
  bootEnded(target: string): void {
    this.#desk.end(target, ended(target));
    this.#leases.end(target);
  }

  /** The session has ended. */
  async closed(target: string): Promise<void> {
    this.bootEnded(target);
    this.#door.forget(target);
    await this.#logs.remove(target);
  }

  // ---- what agents say

  hello(request: HelloRequest): Promise<HelloResponse> {
    return this.#door.hello(request);
  }

  authenticate(authorization: string | undefined): Promise<Caller> {
    return this.#door.authenticate(authorization);
  }

  async next(caller: Caller, waitMs: number, running: string | null, gone: AbortSignal): Promise<Order> {
    const order = await this.#desk.next(caller.entry, waitMs, running, gone);
    if (order.do === "over") throw refusal(410, "The session has withdrawn this boot; boot into your own system.");
    return order;
  }

  told(caller: Caller, order: Order): void {
    this.#desk.told(caller.entry, order);
  }

  answer(caller: Caller, order: Order): NextResponse {
    const leaseSeconds = this.#leases.secondsLeft(caller.entry);
    if (order.do === "over") throw new TypeError("an order that is over is an error by now");
    return { ...order, leaseSeconds };
  }

  async appendLog({ entry }: Caller, task: string, offset: number, piece: Buffer): Promise<ProgressResponse> {
    this.#nameOf(entry, task);
    await this.#logs.append(entry.target, entry.session, task, offset, piece);
    if (piece.length > 0) this.#options.link.progress(entry, { what: "log", task, bytes: offset + piece.length });
    return this.#progressAnswer(entry, task);
  }

  progress({ entry, secrets }: Caller, task: string, request: ProgressRequest): ProgressResponse {
    this.#nameOf(entry, task);
    const { message, percent } = masked(request, secrets);
    this.#options.link.progress(entry, { what: "task", task, message, percent });
    return this.#progressAnswer(entry, task);
  }

  /** Keeps the first result of an id, durably, before it is acknowledged; another one is taken as a repetition. */
  async result({ entry, secrets }: Caller, task: string, request: ResultRequest): Promise<void> {
    const name = this.#nameOf(entry, task);
    const known = Object.hasOwn(entry.results, task) ? entry.results[task] : undefined;
    if (known) {
      // The first time the disk may have been full: then it was neither kept nor told.
      await this.#options.sessions.save(entry);
      this.#desk.resulted(entry, known);
      return;
    }
    const key = `${entry.target}/${entry.session}/${task}`;
    const keeping = this.#keeping.get(key) ?? this.#keep(entry, { id: task, name }, masked(request, secrets), secrets);
    this.#keeping.set(key, keeping);
    try {
      this.#desk.resulted(entry, await keeping);
    } finally {
      this.#keeping.delete(key);
    }
  }

  /** The image says that its work is over, or that it gives up. The first word counts. */
  async done({ entry, boot, secrets }: Caller, said: DoneRequest): Promise<void> {
    if (boot.done === null) {
      const request = masked(said, secrets);
      boot.done = request;
      this.#outbox.add(entry, { kind: "done", request });
    }
    await this.#options.sessions.save(entry);
    await this.#outbox.send(entry, 0);
  }

  /** The target left its image without a word: its token is void, and the session hears how that was seen. */
  async rebooted(entry: SiteEntry, how: string, bootId: string | null = null): Promise<void> {
    const boot = entry.boot;
    if (!boot || boot.revoked) return;
    // An image that was told to reboot, or is done, does what was expected of it.
    const expected = boot.done !== null || this.#desk.isFinishing(entry);
    boot.revoked = true;
    if (!expected) this.#outbox.add(entry, { kind: "rebooted", bootId: bootId ?? boot.bootId ?? "", how });
    this.#options.log.warn({ target: entry.target, how, expected }, "the target rebooted in its image");
    try {
      await this.#options.sessions.save(entry);
    } catch (error) {
      // It is not seen a second time: the session hears of it although this site cannot remember it.
      this.#options.log.error({ err: error, target: entry.target }, "the journal could not be written");
    }
    // The session first: whoever waits for the agent must not hear of a boot that is over before the session knows why.
    await this.#outbox.send(entry, REBOOT_TOLD_MS);
    if (entry.boot === boot) this.bootEnded(entry.target);
  }

  // ---- within

  async #keep(
    entry: SiteEntry,
    task: { id: string; name: string },
    request: ResultRequest,
    secrets: readonly string[],
  ): Promise<TaskResult> {
    if (Object.keys(entry.results).length >= MAX_RESULTS) {
      throw refusal(422, `A session leaves at most ${MAX_RESULTS} results at its site.`);
    }
    const to = { objects: this.#options.objects, logs: this.#logs };
    const kept = await keepResult(entry, task, request, to, secrets);
    entry.results[task.id] ??= kept;
    await this.#options.sessions.save(entry);
    return entry.results[task.id] ?? kept;
  }

  /** A task that the plan does not have is known after a restart only by this: its result must not be turned away. */
  async #remember(entry: SiteEntry, task: AgentTask): Promise<void> {
    const planned = entry.plan.action?.tasks.some((one) => one.id === task.id) ?? false;
    if (planned || entry.ledger.offered[task.id] !== undefined) return;
    entry.ledger.offered = { ...entry.ledger.offered, [task.id]: task.name };
    await this.#options.sessions.save(entry);
  }

  #progressAnswer(entry: SiteEntry, task: string): ProgressResponse {
    return { cancel: this.#desk.isCancelled(entry, task), leaseSeconds: this.#leases.secondsLeft(entry) };
  }

  /** The task's name; 404 for one that this session does not have. */
  #nameOf(entry: SiteEntry, task: string): string {
    const planned = entry.plan.action?.tasks.find((one) => one.id === task)?.name;
    const { offered } = entry.ledger;
    // Only what was put there: `constructor` is a good id, and every object has one.
    const remembered = Object.hasOwn(offered, task) ? offered[task] : undefined;
    const resulted = Object.hasOwn(entry.results, task) ? entry.results[task]?.name : undefined;
    const name = planned ?? this.#desk.nameOf(entry, task) ?? remembered ?? resulted;
    if (name === undefined) throw refusal(404, "The session has no such task; drop the message.");
    return name;
  }

  #own(target: string, session: string): SiteEntry {
    const entry = this.#options.sessions.get(target);
    if (entry?.session === session) return entry;
    throw new PitstopError("notFound", `The site has no entry of ${session} for the target ${target}; open it first.`);
  }
}

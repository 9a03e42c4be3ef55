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
import type { SiteEntry } from "../site/entry.js";
import type { SessionLink } from "../site/session-link.js";
import type { AgentServer } from "../site/site.js";
import { Authenticator, type AuthenticatorOptions, type Caller } from "./authenticator.js";
import { keepResult } from "./keep-result.js";
import { Leases } from "./lease.js";
import { Outbox } from "./outbox.js";
import { refusal } from "./refusal.js";
import { ended, type Order, type Power, TaskDispatcher } from "./task-dispatcher.js";
import { TaskLogs } from "./task-log.js";

/** How long the offers of a boot go on after its reboot was seen, until the session has heard of it: enough for a healthy Temporal. */
const REBOOT_TOLD_MS = 2_000;
/** Results that one session may leave at a site. */
const MAX_RESULTS = 512;

export interface GatewayOptions extends AuthenticatorOptions {
  link: SessionLink;
  /** Folder of the logs of running tasks. */
  logFolder: string;
}

/** The server's side of the agent protocol (docs/agent-protocol.md), without HTTP. */
export class AgentGateway implements AgentServer {
  readonly #options: GatewayOptions;
  readonly #authenticator: Authenticator;
  readonly #outbox: Outbox;
  readonly #leases: Leases;
  readonly #logs: TaskLogs;
  readonly #dispatcher = new TaskDispatcher();
  /** Results being kept. A message that comes twice at once is kept once. */
  readonly #keeping = new Map<string, Promise<TaskResult>>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.entries, options.link, options.log);
    this.#leases = new Leases(options.entries, options.link, options.now, options.log, (entry, how) =>
      this.rebooted(entry, how),
    );
    this.#authenticator = new Authenticator(options, {
      outbox: this.#outbox,
      leases: this.#leases,
      secondHello: (entry, how, bootId) => this.rebooted(entry, how, bootId),
    });
    this.#logs = new TaskLogs(options.logFolder);
  }

  /** After the process has started: messages that were not acknowledged go out again, and leases are extended again. */
  resume(): void {
    this.#outbox.resume();
    this.#leases.resume();
  }

  close(): void {
    this.#outbox.close();
    this.#leases.close();
    this.#dispatcher.close();
  }

  // ---- for sessions

  async offer(target: string, session: string, task: AgentTask, signal: AbortSignal): Promise<TaskResult> {
    const entry = this.#own(target, session);
    if (entry.boot?.revoked || entry.ledger.withdrawnAt !== null) throw ended(target);
    await this.#remember(entry, task);
    return await this.#dispatcher.offer(entry, task, signal);
  }

  async finish(target: string, session: string, power: Power, waitMs: number): Promise<boolean> {
    const entry = this.#options.entries.get(target);
    return entry?.session === session ? await this.#dispatcher.finish(entry, power, waitMs) : false;
  }

  /** The boot was withdrawn or armed anew: its offers end. */
  bootEnded(target: string): void {
    this.#dispatcher.end(target, ended(target));
    this.#leases.end(target);
  }

  /** The session has ended. */
  async closed(target: string): Promise<void> {
    this.bootEnded(target);
    this.#authenticator.forget(target);
    await this.#logs.remove(target);
  }

  // ---- for agents

  hello(request: HelloRequest): Promise<HelloResponse> {
    return this.#authenticator.hello(request);
  }

  authenticate(authorization: string | undefined): Promise<Caller> {
    return this.#authenticator.authenticate(authorization);
  }

  async next(caller: Caller, waitMs: number, running: string | null, gone: AbortSignal): Promise<Order> {
    const order = await this.#dispatcher.next(caller.entry, waitMs, running, gone);
    if (order.do === "over") throw refusal(410, "The session has withdrawn this boot; boot into your own system.");
    return order;
  }

  told(caller: Caller, order: Order): void {
    this.#dispatcher.told(caller.entry, order);
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

  /** Keeps the first result of a task, durably, before it is acknowledged. Another one counts as a repetition. */
  async result({ entry, secrets }: Caller, task: string, request: ResultRequest): Promise<void> {
    const name = this.#nameOf(entry, task);
    const known = Object.hasOwn(entry.results, task) ? entry.results[task] : undefined;
    if (known) {
      // The disk may have been full the first time, and the result neither kept nor handed over.
      await this.#options.entries.save(entry);
      this.#dispatcher.resulted(entry, known);
      return;
    }
    const key = `${entry.target}/${entry.session}/${task}`;
    const keeping = this.#keeping.get(key) ?? this.#keep(entry, { id: task, name }, masked(request, secrets), secrets);
    this.#keeping.set(key, keeping);
    try {
      this.#dispatcher.resulted(entry, await keeping);
    } finally {
      this.#keeping.delete(key);
    }
  }

  /** The image says that its work is over, or that it gives up. The first message counts. */
  async done({ entry, boot, secrets }: Caller, said: DoneRequest): Promise<void> {
    if (boot.done === null) {
      const request = masked(said, secrets);
      boot.done = request;
      this.#outbox.add(entry, { kind: "done", request });
    }
    await this.#options.entries.save(entry);
    await this.#outbox.send(entry, 0);
  }

  /** The target left its image without saying so: its token is void, and the session hears how that was seen. */
  async rebooted(entry: SiteEntry, how: string, bootId: string | null = null): Promise<void> {
    const boot = entry.boot;
    if (!boot || boot.revoked) return;
    // An image that is done, or was told to reboot, is expected to leave.
    const expected = boot.done !== null || this.#dispatcher.isFinishing(entry);
    boot.revoked = true;
    if (!expected) this.#outbox.add(entry, { kind: "rebooted", bootId: bootId ?? boot.bootId ?? "", how });
    this.#options.log.warn({ target: entry.target, how, expected }, "the target rebooted in its image");
    try {
      await this.#options.entries.save(entry);
    } catch (error) {
      // A reboot is seen once: the session hears of it although the journal does not have it.
      this.#options.log.error({ err: error, target: entry.target }, "the journal could not be written");
    }
    // The session first: offers that end before it knows why would look like failures.
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
    await this.#options.entries.save(entry);
    return entry.results[task.id] ?? kept;
  }

  /** Keeps the name of a task that the plan does not have, so that its result is known after a restart too. */
  async #remember(entry: SiteEntry, task: AgentTask): Promise<void> {
    const planned = entry.plan.action?.tasks.some((one) => one.id === task.id) ?? false;
    if (planned || entry.ledger.offered[task.id] !== undefined) return;
    entry.ledger.offered = { ...entry.ledger.offered, [task.id]: task.name };
    await this.#options.entries.save(entry);
  }

  #progressAnswer(entry: SiteEntry, task: string): ProgressResponse {
    return { cancel: this.#dispatcher.isCancelled(entry, task), leaseSeconds: this.#leases.secondsLeft(entry) };
  }

  /** The task's name; 404 for one that this session does not have. */
  #nameOf(entry: SiteEntry, task: string): string {
    const planned = entry.plan.action?.tasks.find((one) => one.id === task)?.name;
    const { offered } = entry.ledger;
    // Own properties only: `constructor` is a valid id, and every object has one.
    const remembered = Object.hasOwn(offered, task) ? offered[task] : undefined;
    const resulted = Object.hasOwn(entry.results, task) ? entry.results[task]?.name : undefined;
    const name = planned ?? this.#dispatcher.nameOf(entry, task) ?? remembered ?? resulted;
    if (name === undefined) throw refusal(404, "The session has no such task; drop the message.");
    return name;
  }

  #own(target: string, session: string): SiteEntry {
    const entry = this.#options.entries.get(target);
    if (entry?.session === session) return entry;
    throw new PitstopError("notFound", `The site has no entry of ${session} for the target ${target}; open it first.`);
  }
}

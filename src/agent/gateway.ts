import type { Logger } from "pino";
import type { SessionLink, SiteBoot, SiteEntry } from "../boot/site.js";
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
import type { TaskResult } from "../domain/session.js";
import type { Target } from "../domain/target.js";
import { agentTask } from "./agent-task.js";
import { Desk, ended, type Order, type Power } from "./desk.js";
import { keepResult } from "./keep-result.js";
import { Leases } from "./lease.js";
import { Outbox } from "./outbox.js";
import { Rates } from "./rates.js";
import type { AgentObjects, AgentSessions, Clock } from "./sessions.js";
import { TaskLogs } from "./task-log.js";
import { Tokens } from "./token.js";

/** The answer to a hello waits this long for the session to have heard of it: long enough for a healthy Temporal. */
const HELLO_TOLD_MS = 2_000;
/** Results that one session may leave at a site. */
const MAX_RESULTS = 512;

export interface GatewayOptions {
  sessions: AgentSessions;
  link: SessionLink;
  objects: AgentObjects;
  /** Whether what a machine says of itself fits the target (UUID in either byte order, else a MAC address). */
  fits: (identity: Target["identity"], claim: { uuid: string | null; macs: string[] }) => boolean;
  /** At least 32 random bytes, of this site alone. */
  key: Uint8Array;
  /** Folder of the logs of running tasks. */
  logFolder: string;
  now: Clock;
  log: Logger;
}

/** A request that bore the token of the present boot. */
export interface Caller {
  entry: SiteEntry;
  boot: SiteBoot;
}

/** The server's side of the agent protocol (docs/agent-protocol.md), without HTTP. */
export class AgentGateway {
  readonly #options: GatewayOptions;
  readonly #tokens: Tokens;
  readonly #outbox: Outbox;
  readonly #leases: Leases;
  readonly #rates: Rates;
  readonly #logs: TaskLogs;
  readonly #desk = new Desk();
  /** Results being kept, so that a message that comes twice at once is kept once. */
  readonly #keeping = new Map<string, Promise<TaskResult>>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#tokens = new Tokens(options.key);
    this.#outbox = new Outbox(options.sessions, options.link, options.log);
    this.#leases = new Leases(options.sessions, options.link, options.now, options.log);
    this.#rates = new Rates(options.now);
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
    this.#rates.forget(target);
    await this.#logs.remove(target);
  }

  // ---- what agents say

  async hello(request: HelloRequest): Promise<HelloResponse> {
    const entry = this.#options.sessions.byNonce(request.nonce);
    const boot = entry?.boot;
    if (!entry || !boot) throw refusal(401, "This nonce is not known here; fetch the boot script again.");
    this.#refuseOver(entry, boot);
    this.#refuseOther(entry, request);
    if (boot.helloAt === null) await this.#firstHello(entry, boot, request);
    else if (boot.bootId !== request.bootId || boot.spentNonce !== request.nonce) {
      await this.rebooted(entry, "a second hello came, from another boot", request.bootId);
      throw refusal(410, "The nonce was spent by another boot, so both are revoked; boot into your own system.");
    }
    return {
      token: this.#tokens.mint({ ...entry, epoch: boot.epoch, bootId: request.bootId }),
      session: entry.session,
      mode: entry.plan.action?.mode ?? "active",
      leaseSeconds: this.#leases.secondsLeft(entry),
      tasks: entry.plan.action?.mode === "passive" ? await this.#passiveTasks(entry) : [],
    };
  }

  /** The caller of a request by its token: 401 where it is not known here, 410 where its boot is over. */
  async authenticate(authorization: string | undefined): Promise<Caller> {
    const facts = this.#tokens.read(/^Bearer ([A-Za-z0-9._~+/=-]{1,256})$/.exec(authorization ?? "")?.[1] ?? "");
    const entry = facts ? this.#options.sessions.get(facts.target) : null;
    if (!facts || !entry) throw refusal(401, "This token is not known here; try again while your lease holds.");
    if (entry.session !== facts.session) throw refusal(410, "The session has ended; boot into your own system.");
    const boot = entry.boot ?? (await this.#adopt(entry, facts));
    this.#refuseOver(entry, boot);
    if (boot.epoch !== facts.epoch) throw refusal(410, "This boot is over: the target was armed anew; reboot.");
    if (boot.bootId === null) await this.#adoptBoot(entry, boot, facts.bootId);
    else if (boot.bootId.toLowerCase() !== facts.bootId)
      throw refusal(410, "Another boot of this target has said hello.");
    if (!this.#rates.take(entry.target)) throw refusal(429, "Too many requests; wait a second.");
    this.#leases.heard(entry);
    return { entry, boot };
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

  progress({ entry }: Caller, task: string, request: ProgressRequest): ProgressResponse {
    this.#nameOf(entry, task);
    this.#options.link.progress(entry, { what: "task", task, message: request.message, percent: request.percent });
    return this.#progressAnswer(entry, task);
  }

  /** Keeps the first result of an id, durably, before it is acknowledged; another one is taken as a repetition. */
  async result({ entry }: Caller, task: string, request: ResultRequest): Promise<void> {
    const name = this.#nameOf(entry, task);
    if (entry.results[task]) return;
    const key = `${entry.target}/${entry.session}/${task}`;
    const keeping = this.#keeping.get(key) ?? this.#keep(entry, { id: task, name }, request);
    this.#keeping.set(key, keeping);
    try {
      this.#desk.resulted(entry, await keeping);
    } finally {
      this.#keeping.delete(key);
    }
  }

  /** The image says that its work is over, or that it gives up. The first word counts. */
  async done({ entry, boot }: Caller, request: DoneRequest): Promise<void> {
    if (boot.done === null) {
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
    await this.#options.sessions.save(entry);
    this.bootEnded(entry.target);
    await this.#outbox.send(entry, 0);
  }

  // ---- within

  async #firstHello(entry: SiteEntry, boot: SiteBoot, request: HelloRequest): Promise<void> {
    // Set before anything is waited for: a second hello that comes meanwhile finds the nonce spent.
    Object.assign(boot, { bootId: request.bootId, spentNonce: request.nonce, helloAt: this.#nowText() });
    this.#leases.grant(entry);
    this.#outbox.add(entry, { kind: "hello", request });
    await this.#options.sessions.save(entry);
    this.#options.link.progress(entry, { what: "hello" });
    this.#options.log.info({ target: entry.target, epoch: boot.epoch, kernel: request.kernel }, "the agent said hello");
    if ((await this.#outbox.send(entry, HELLO_TOLD_MS)) === "gone") {
      boot.revoked = true;
      await this.#options.sessions.save(entry);
      throw refusal(410, "The session has ended; boot into your own system.");
    }
    this.#leases.watch(entry);
  }

  /** The journal was lost, but not the key: the token itself says which boot it is for, and the session has come back. */
  async #adopt(entry: SiteEntry, facts: { epoch: number; bootId: string }): Promise<SiteBoot> {
    if (entry.ledger.withdrawnAt !== null || entry.plan.image === null) {
      throw refusal(410, "The session has withdrawn this target; boot into your own system.");
    }
    entry.boot = {
      epoch: facts.epoch,
      wasOff: entry.snapshot?.state.power === "Off",
      nonces: [],
      mediaSegment: "",
      scriptFetchedAt: null,
      kernelFetchedAt: null,
      initrdFetchedAt: null,
      bootId: null,
      spentNonce: null,
      helloAt: null,
      revoked: false,
      done: null,
    };
    entry.ledger.lastEpoch = Math.max(entry.ledger.lastEpoch, facts.epoch);
    return entry.boot;
  }

  async #adoptBoot(entry: SiteEntry, boot: SiteBoot, bootId: string): Promise<void> {
    Object.assign(boot, { bootId, helloAt: this.#nowText() });
    this.#leases.grant(entry);
    this.#leases.watch(entry);
    await this.#options.sessions.save(entry);
    this.#options.log.warn(
      { target: entry.target, epoch: boot.epoch },
      "an agent of a lost journal was taken up again",
    );
  }

  async #keep(entry: SiteEntry, task: { id: string; name: string }, request: ResultRequest): Promise<TaskResult> {
    if (Object.keys(entry.results).length >= MAX_RESULTS) {
      throw refusal(422, `A session leaves at most ${MAX_RESULTS} results at its site.`);
    }
    const kept = await keepResult(entry, task, request, { objects: this.#options.objects, logs: this.#logs });
    entry.results[task.id] ??= kept;
    await this.#options.sessions.save(entry);
    return entry.results[task.id] ?? kept;
  }

  async #passiveTasks(entry: SiteEntry): Promise<AgentTask[]> {
    const tasks: AgentTask[] = [];
    for (const task of entry.plan.action?.tasks ?? []) {
      const script = Buffer.from(await this.#options.objects.get(task.scriptSha256)).toString("utf8");
      tasks.push(agentTask(entry.plan, task, script));
    }
    return tasks;
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
    const name = planned ?? this.#desk.nameOf(entry, task) ?? entry.ledger.offered[task] ?? entry.results[task]?.name;
    if (name === undefined) throw refusal(404, "The session has no such task; drop the message.");
    return name;
  }

  #own(target: string, session: string): SiteEntry {
    const entry = this.#options.sessions.get(target);
    if (entry?.session === session) return entry;
    throw new PitstopError("notFound", `The site has no entry of ${session} for the target ${target}; open it first.`);
  }

  #refuseOver(entry: SiteEntry, boot: SiteBoot): void {
    if (boot.revoked) throw refusal(410, "This boot was revoked; boot into your own system.");
    if (Date.parse(entry.absoluteDeadline) <= this.#options.now()) {
      throw refusal(410, "The session is past its deadline; boot into your own system.");
    }
  }

  /** What the image does not know of its machine proves nothing against it; what it does know has to fit. */
  #refuseOther(entry: SiteEntry, request: HelloRequest): void {
    const identity = entry.plan.target.identity;
    const comparable = (identity.uuid && request.uuid) || (identity.macs.length > 0 && request.macs.length > 0);
    const claim = { uuid: request.uuid?.toLowerCase() ?? null, macs: request.macs.map((mac) => mac.toLowerCase()) };
    if (!comparable || this.#options.fits(identity, claim)) return;
    this.#options.log.warn({ target: entry.target, ...claim }, "a hello came from another machine than the target");
    throw refusal(403, `This machine is not ${entry.target}; boot into your own system.`);
  }

  #nowText(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

/** An answer whose status says what the agent does (docs/agent-protocol.md, Errors). */
export function refusal(status: 401 | 403 | 404 | 410 | 413 | 422 | 429, sentence: string): PitstopError {
  const code = status === 401 ? "unauthorized" : status === 404 ? "notFound" : "refused";
  return new PitstopError(code, sentence, { facts: { status } });
}

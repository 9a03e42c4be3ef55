import type { Logger } from "pino";
import type { AgentTask, HelloRequest, HelloResponse } from "../domain/agent.js";
import { fits, isComparable, usableClaim } from "../domain/machine-identity.js";
import type { Clock } from "../site/clock.js";
import type { Entries } from "../site/entries.js";
import { freshBoot, type SiteBoot, type SiteEntry } from "../site/entry.js";
import { RateLimit } from "../site/rate-limit.js";
import { isOrphaned, type SessionLink } from "../site/session-link.js";
import type { ObjectStore } from "../stores/store.js";
import { agentTask } from "./agent-task.js";
import type { Leases } from "./lease.js";
import type { Outbox } from "./outbox.js";
import { refusal } from "./refusal.js";
import { Tokens } from "./token.js";

/** How long the answer to a hello waits until the session has heard of it: long enough for a healthy Temporal. */
const HELLO_TOLD_MS = 2_000;
/** Requests of one target's agent, which polls, reports progress and sends its log by the MiB: a few a second. */
const REQUEST_RATE = { burst: 200, perSecond: 50, maxKeys: 4096 };

export interface AuthenticatorOptions {
  entries: Pick<Entries, "get" | "all" | "byNonce" | "isVoided" | "save">;
  link: Pick<SessionLink, "progress" | "isAlive">;
  objects: Pick<ObjectStore, "get" | "put">;
  /** At least 32 random bytes, of this site alone. */
  key: Uint8Array;
  now: Clock;
  log: Logger;
}

/** A request that bore the token of the present boot. */
export interface Caller {
  entry: SiteEntry;
  boot: SiteBoot;
  /** Secrets that its image knows. Whatever the site keeps of its messages, it keeps without these. */
  secrets: readonly string[];
}

/** Authenticates images: a nonce buys a token, once; every later request needs the token of the target's present boot. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #tokens: Tokens;
  readonly #limit: RateLimit;
  readonly #outbox: Outbox;
  readonly #leases: Leases;
  readonly #secondHello: (entry: SiteEntry, how: string, bootId: string) => Promise<void>;

  /** `secondHello` is called when a hello came from another boot than the one that spent the nonce; it revokes both. */
  constructor(
    options: AuthenticatorOptions,
    deps: {
      outbox: Outbox;
      leases: Leases;
      secondHello: (entry: SiteEntry, how: string, bootId: string) => Promise<void>;
    },
  ) {
    this.#options = options;
    this.#tokens = new Tokens(options.key);
    this.#limit = new RateLimit(REQUEST_RATE, options.now);
    this.#outbox = deps.outbox;
    this.#leases = deps.leases;
    this.#secondHello = deps.secondHello;
  }

  async hello(request: HelloRequest): Promise<HelloResponse> {
    const { entries } = this.#options;
    const entry = entries.byNonce(request.nonce);
    const boot = entry?.boot;
    if (!entry || !boot) {
      // An answer of its own, so that an image that is late goes home at once and does not try again.
      if (entries.isVoided(request.nonce)) throw refusal(410, "This boot is over; boot into your own system.");
      throw refusal(401, "This nonce is not known here; fetch the boot script again.");
    }
    this.#refuseOver(entry, boot);
    this.#refuseOther(entry, request);
    if (boot.helloAt === null) this.#firstHello(entry, boot, request);
    else if (boot.bootId !== request.bootId || boot.spentNonce !== request.nonce) {
      await this.#secondHello(entry, "a second hello came, from another boot", request.bootId);
      throw refusal(410, "The nonce was spent by another boot, so both are revoked; boot into your own system.");
    }
    await this.#keepAndTell(entry, boot);
    return {
      token: this.#tokens.mint({ ...entry, epoch: boot.epoch, bootId: request.bootId }),
      session: entry.session,
      mode: entry.plan.action?.mode ?? "active",
      leaseSeconds: this.#leases.secondsLeft(entry),
      tasks: entry.plan.action?.mode === "passive" ? await this.#passiveTasks(entry) : [],
    };
  }

  /** The caller of a request by its token. Errors: 401 where the token is not known here, 410 where its boot is over, 429 beyond its rate. */
  async authenticate(authorization: string | undefined): Promise<Caller> {
    const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,256})$/.exec(authorization ?? "")?.[1] ?? "";
    const facts = this.#tokens.read(token);
    const entry = facts ? this.#options.entries.get(facts.target) : null;
    if (!facts || !entry) throw refusal(401, "This token is not known here; try again while your lease holds.");
    if (entry.session !== facts.session) throw refusal(410, "The session has ended; boot into your own system.");
    const boot = entry.boot ?? (await this.#adopt(entry, facts));
    this.#refuseOver(entry, boot);
    if (boot.epoch !== facts.epoch) throw refusal(410, "This boot is over: the target was armed anew; reboot.");
    if (boot.bootId === null) await this.#adoptBoot(entry, boot, facts.bootId);
    else if (boot.bootId.toLowerCase() !== facts.bootId)
      throw refusal(410, "Another boot of this target has said hello.");
    if (!this.#limit.take(entry.target)) throw refusal(429, "Too many requests; wait a second.");
    this.#leases.heard(entry);
    return { entry, boot, secrets: [token, ...(boot.spentNonce === null ? [] : [boot.spentNonce])] };
  }

  /** The session has ended. */
  forget(target: string): void {
    this.#limit.forget(target);
  }

  #firstHello(entry: SiteEntry, boot: SiteBoot, request: HelloRequest): void {
    // Set before the first await: a second hello that comes meanwhile finds the nonce spent.
    Object.assign(boot, { bootId: request.bootId, spentNonce: request.nonce, helloAt: this.#nowText() });
    entry.ledger.ownSystemSeenAt = null;
    this.#leases.grant(entry);
    this.#outbox.add(entry, { kind: "hello", request });
    this.#options.link.progress(entry, { what: "hello" });
    this.#options.log.info({ target: entry.target, epoch: boot.epoch, kernel: request.kernel }, "the agent said hello");
  }

  /** Also for a repeated hello: the disk may have been full at the first one. */
  async #keepAndTell(entry: SiteEntry, boot: SiteBoot): Promise<void> {
    await this.#options.entries.save(entry);
    const told = await this.#outbox.send(entry, HELLO_TOLD_MS);
    // The signal goes to the session that holds the target now. A later session takes it and does nothing, so ask about this one.
    if (told === "gone" || (await isOrphaned(this.#options.link, entry))) {
      boot.revoked = true;
      await this.#options.entries.save(entry);
      throw refusal(410, "The session has ended; boot into your own system.");
    }
    this.#leases.watch(entry);
  }

  /** The journal was lost and the key was not: the token says which boot it is for, and the session has opened its entry again. */
  async #adopt(entry: SiteEntry, facts: { epoch: number; bootId: string }): Promise<SiteBoot> {
    if (entry.ledger.withdrawnAt !== null || entry.plan.image === null) {
      throw refusal(410, "The session has withdrawn this target; boot into your own system.");
    }
    // The token does not tell the way. Of a sealed one no claim by the network is believed.
    const { ways } = entry.plan;
    const way = ways.find(({ grade }) => grade === "sealed") ?? ways[0];
    if (!way) throw new TypeError("a plan with an image has a boot way");
    // No medium: the segment under which it was published is lost.
    entry.boot = freshBoot(facts.epoch, way, entry.snapshot?.state.power === "Off", "");
    entry.ledger.lastEpoch = Math.max(entry.ledger.lastEpoch, facts.epoch);
    return entry.boot;
  }

  async #adoptBoot(entry: SiteEntry, boot: SiteBoot, bootId: string): Promise<void> {
    Object.assign(boot, { bootId, helloAt: this.#nowText() });
    this.#leases.grant(entry);
    this.#leases.watch(entry);
    await this.#options.entries.save(entry);
    this.#options.log.warn({ target: entry.target, epoch: boot.epoch }, "an agent of a lost journal was adopted");
  }

  async #passiveTasks(entry: SiteEntry): Promise<AgentTask[]> {
    const tasks: AgentTask[] = [];
    for (const task of entry.plan.action?.tasks ?? []) {
      const script = Buffer.from(await this.#options.objects.get(task.scriptSha256)).toString("utf8");
      tasks.push(agentTask(entry.plan, task, script));
    }
    return tasks;
  }

  #refuseOver(entry: SiteEntry, boot: SiteBoot): void {
    if (boot.revoked) throw refusal(410, "This boot was revoked; boot into your own system.");
    if (Date.parse(entry.absoluteDeadline) <= this.#options.now()) {
      throw refusal(410, "The session is past its deadline; boot into your own system.");
    }
  }

  /** `403` where the machine's UUID or MAC addresses do not fit the target. What the image does not know is not compared. */
  #refuseOther(entry: SiteEntry, request: HelloRequest): void {
    const identity = entry.plan.target.identity;
    const claim = usableClaim({ uuid: request.uuid ?? null, macs: request.macs });
    if (!isComparable(identity, claim) || fits(identity, claim)) return;
    this.#options.log.warn({ target: entry.target, ...claim }, "a hello came from another machine than the target");
    throw refusal(403, `This machine is not ${entry.target}; boot into your own system.`);
  }

  #nowText(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

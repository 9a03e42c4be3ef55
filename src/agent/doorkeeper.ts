import type { Logger } from "pino";
import { freshBoot, isOrphaned, type SessionLink, type SiteBoot, type SiteEntry } from "../boot/site.js";
import type { AgentTask, HelloRequest, HelloResponse } from "../domain/agent.js";
import type { Target } from "../domain/target.js";
import { agentTask } from "./agent-task.js";
import type { Leases } from "./lease.js";
import type { Outbox } from "./outbox.js";
import { Rates } from "./rates.js";
import { refusal } from "./refusal.js";
import type { AgentObjects, AgentSessions, Clock } from "./sessions.js";
import { Tokens } from "./token.js";

/** The answer to a hello waits this long for the session to have heard of it: long enough for a healthy Temporal. */
const HELLO_TOLD_MS = 2_000;

export interface DoorkeeperOptions {
  sessions: AgentSessions;
  link: Pick<SessionLink, "progress" | "isAlive">;
  objects: AgentObjects;
  /** Whether what a machine says of itself fits the target (UUID in either byte order, else a MAC address). */
  fits: (identity: Target["identity"], claim: { uuid: string | null; macs: string[] }) => boolean;
  /** At least 32 random bytes, of this site alone. */
  key: Uint8Array;
  now: Clock;
  log: Logger;
}

/** A request that bore the token of the present boot. */
export interface Caller {
  entry: SiteEntry;
  boot: SiteBoot;
  /** What its image knows and nobody else may read: whatever it sends that is kept, is kept without these. */
  secrets: readonly string[];
}

/** Lets images in: a nonce for a token, once, and from then on nobody without the token of the target's present boot. */
export class Doorkeeper {
  readonly #options: DoorkeeperOptions;
  readonly #tokens: Tokens;
  readonly #rates: Rates;
  readonly #outbox: Outbox;
  readonly #leases: Leases;
  readonly #secondHello: (entry: SiteEntry, how: string, bootId: string) => Promise<void>;

  /** `secondHello` is called when a hello came from another boot than the one that spent the nonce; it revokes both. */
  constructor(
    options: DoorkeeperOptions,
    parts: {
      outbox: Outbox;
      leases: Leases;
      secondHello: (entry: SiteEntry, how: string, bootId: string) => Promise<void>;
    },
  ) {
    this.#options = options;
    this.#tokens = new Tokens(options.key);
    this.#rates = new Rates(options.now);
    this.#outbox = parts.outbox;
    this.#leases = parts.leases;
    this.#secondHello = parts.secondHello;
  }

  async hello(request: HelloRequest): Promise<HelloResponse> {
    const { sessions } = this.#options;
    const entry = sessions.byNonce(request.nonce);
    const boot = entry?.boot;
    if (!entry || !boot) {
      // Said plainly, so that an image that is late goes home at once and not when its patience ends.
      if (sessions.isVoided(request.nonce)) throw refusal(410, "This boot is over; boot into your own system.");
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

  /** The caller of a request by its token: 401 where it is not known here, 410 where its boot is over. */
  async authenticate(authorization: string | undefined): Promise<Caller> {
    const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,256})$/.exec(authorization ?? "")?.[1] ?? "";
    const facts = this.#tokens.read(token);
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
    return { entry, boot, secrets: [token, ...(boot.spentNonce === null ? [] : [boot.spentNonce])] };
  }

  /** The session has ended. */
  forget(target: string): void {
    this.#rates.forget(target);
  }

  #firstHello(entry: SiteEntry, boot: SiteBoot, request: HelloRequest): void {
    // Set before anything is waited for: a second hello that comes meanwhile finds the nonce spent.
    Object.assign(boot, { bootId: request.bootId, spentNonce: request.nonce, helloAt: this.#nowText() });
    entry.ledger.ownSystemSeenAt = null;
    this.#leases.grant(entry);
    this.#outbox.add(entry, { kind: "hello", request });
    this.#options.link.progress(entry, { what: "hello" });
    this.#options.log.info({ target: entry.target, epoch: boot.epoch, kernel: request.kernel }, "the agent said hello");
  }

  /** Done for a repeated hello as well: the disk may have been full at the first one. */
  async #keepAndTell(entry: SiteEntry, boot: SiteBoot): Promise<void> {
    await this.#options.sessions.save(entry);
    const told = await this.#outbox.send(entry, HELLO_TOLD_MS);
    // The signal goes to whoever holds the target's lock, which may be another session by now: it is taken, and says nothing.
    if (told === "gone" || (await isOrphaned(this.#options.link, entry))) {
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
    // No media: it was published under a segment that nobody remembers.
    entry.boot = freshBoot(facts.epoch, entry.snapshot?.state.power === "Off", "");
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

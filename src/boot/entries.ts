import { randomBytes } from "node:crypto";
import { PitstopError } from "../domain/errors.js";
import type { PowerAction, SessionPlan } from "../domain/session.js";
import type { BootSnapshot } from "../domain/snapshot.js";
import { type Clock, iso } from "./clock.js";
import type { Journal } from "./journal.js";
import {
  freshBoot,
  type MintedNonce,
  type SessionLink,
  type SiteBoot,
  type SiteEntry,
  type SiteMedium,
} from "./site.js";

/** 192 bits that nobody guesses, in 32 characters that need no escaping anywhere. */
export const unguessable = (): string => randomBytes(24).toString("base64url");

/** Five boots, each with every ask repeated, are fewer; the oldest go. */
const MAX_POWER_ACTIONS = 64;
/** As many as one arming can have. */
const MAX_VOIDED = 16;

/** Makes the medium of an arming, around a nonce of its own. */
export type MakeMedium = (entry: SiteEntry, boot: SiteBoot, minted: MintedNonce) => SiteMedium;

export interface EntriesOptions {
  journal: Journal;
  link: Pick<SessionLink, "isAlive" | "isOver">;
  now: Clock;
}

/** The life of a target's entry: opened, its snapshot kept, published as often as it is armed, withdrawn, closed. */
export class Entries {
  readonly #journal: Journal;
  readonly #link: Pick<SessionLink, "isAlive" | "isOver">;
  readonly #now: Clock;

  constructor(options: EntriesOptions) {
    this.#journal = options.journal;
    this.#link = options.link;
    this.#now = options.now;
  }

  get(target: string): SiteEntry | null {
    return this.#journal.get(target);
  }

  all(): SiteEntry[] {
    return this.#journal.all();
  }

  /**
   * Ensures an entry for the session. The entry of another session is taken over, with its snapshot, when that session
   * is not alive any more: the snapshot is from before *its* first change, so it is still what home looks like. Not so where the
   * session that took it went through its own end and this site was not told: what was home on that day is history. A late
   * attempt of a session that has ended gets none: what it would open, nobody would close.
   */
  async open(plan: SessionPlan, runId: string): Promise<SiteEntry> {
    const target = plan.target.name;
    const present = this.#journal.get(target);
    if (present?.session === plan.session) return await this.#renew(present, plan, runId);
    if (present && (await this.#link.isAlive(present))) {
      throw new PitstopError(
        "busy",
        `The target ${target} is held at this site by the session ${present.session}; wait for it or abort it.`,
        { facts: { target, session: present.session } },
      );
    }
    const kept = present && (await this.#lostSnapshotOf(present)) ? present : null;
    const entry: SiteEntry = {
      target,
      session: plan.session,
      runId,
      plan,
      snapshot: kept?.snapshot ?? null,
      absoluteDeadline: plan.absoluteDeadline,
      boot: null,
      results: {},
      ledger: {
        ...{ outbox: [], offered: {}, leaseUntil: null, withdrawnAt: null, lastEpoch: 0 },
        voided: present ? voidedBy(present) : [],
        // What a lost session did to the power since the snapshot, nobody else will tell.
        powerActions: kept?.ledger.powerActions ?? [],
      },
    };
    if (!(await this.#link.isAlive(entry))) {
      throw new PitstopError(
        "conflict",
        `The session ${plan.session} of ${target} has ended; nothing more is done for it.`,
      );
    }
    if (this.#journal.get(target) !== (present ?? null)) return await this.open(plan, runId);
    this.#journal.put(entry);
    await this.#journal.save(entry);
    return entry;
  }

  /** Get-or-create (promise 2). */
  async keepSnapshot(target: string, session: string, snapshot: BootSnapshot): Promise<BootSnapshot> {
    const entry = this.#own(target, session);
    entry.snapshot ??= snapshot;
    const kept = entry.snapshot;
    await this.#journal.save(entry);
    return kept;
  }

  async seenAtHome(target: string, session: string): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session || entry.ledger.ownSystemSeenAt) return;
    entry.ledger.ownSystemSeenAt = iso(this.#now());
    await this.#journal.save(entry);
  }

  /** Noted before it is done, so that no death of this process makes the record forget it. */
  async note(target: string, session: string, action: PowerAction): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session) return;
    const others = entry.ledger.powerActions.filter(({ at, why }) => at !== action.at || why !== action.why);
    entry.ledger.powerActions = [...others, action].slice(-MAX_POWER_ACTIONS);
    await this.#journal.save(entry);
  }

  /**
   * Ensures that the target is served the session's script, or medium, as arming `epoch`; contacts of earlier ones are void.
   * `medium` is called once for each arming, and only for a session that boots from one.
   */
  async publish(
    target: string,
    session: string,
    epoch: number,
    wasOff: boolean,
    medium: MakeMedium | null = null,
  ): Promise<SiteBoot> {
    const entry = this.#own(target, session);
    this.#refuseUnfit(entry, epoch);
    if ((entry.plan.via === "virtual-media") !== (medium !== null)) {
      throw new TypeError("a session has a medium where it boots from one, and nowhere else");
    }
    if (entry.boot?.epoch === epoch) {
      await this.#journal.settle(entry);
      return entry.boot;
    }
    const boot = freshBoot(epoch, wasOff, unguessable());
    if (medium) {
      // Nobody asks for a nonce on this way: it is in the medium, once for the whole arming.
      const minted = { nonce: unguessable(), mintedAt: iso(this.#now()) };
      boot.nonces = [minted];
      boot.medium = medium(entry, boot, minted);
    }
    const voided = voidedBy(entry);
    entry.boot = boot;
    entry.ledger = { ...entry.ledger, voided, outbox: [], leaseUntil: null, withdrawnAt: null, lastEpoch: epoch };
    await this.#journal.save(entry);
    return boot;
  }

  /** Ensures that the target is served its way home. An entry that is not there, or another session's, serves nothing of this one. */
  async withdraw(target: string, session: string): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session) return;
    const voided = voidedBy(entry);
    entry.boot = null;
    entry.ledger = { ...entry.ledger, voided, outbox: [], leaseUntil: null };
    entry.ledger.withdrawnAt ??= iso(this.#now());
    await this.#journal.save(entry);
  }

  /** Forgets the entry, snapshot and all. */
  async close(target: string, session: string): Promise<void> {
    if (this.#journal.get(target)?.session === session) await this.#journal.remove(target);
  }

  /** Whether what the entry has is a lost session's, or its own that had no snapshot yet. */
  async #lostSnapshotOf({ target, session, snapshot }: SiteEntry): Promise<boolean> {
    return !(await this.#link.isOver(target, snapshot?.session ?? session));
  }

  /** The same session again: its run may be another one (a reset), and its plan the one of that run. */
  async #renew(entry: SiteEntry, plan: SessionPlan, runId: string): Promise<SiteEntry> {
    if (entry.runId !== runId || JSON.stringify(entry.plan) !== JSON.stringify(plan)) {
      entry.runId = runId;
      entry.plan = plan;
      entry.absoluteDeadline = plan.absoluteDeadline;
      await this.#journal.save(entry);
    }
    await this.#journal.settle(entry);
    return entry;
  }

  #own(target: string, session: string): SiteEntry {
    const entry = this.#journal.get(target);
    if (entry?.session === session) return entry;
    throw new PitstopError(
      entry ? "busy" : "notFound",
      entry
        ? `The target ${target} is held at this site by the session ${entry.session}, not by ${session}.`
        : `The site has no entry for the target ${target}; open the session first.`,
    );
  }

  #refuseUnfit(entry: SiteEntry, epoch: number): void {
    if (entry.plan.image === null) {
      throw new PitstopError("invalid", `The session of ${entry.target} boots no image: there is nothing to publish.`);
    }
    if (Date.parse(entry.absoluteDeadline) <= this.#now()) {
      throw new PitstopError("refused", `The session of ${entry.target} is past its absolute deadline; restore it.`);
    }
    const over = entry.ledger.withdrawnAt !== null ? epoch <= entry.ledger.lastEpoch : epoch < entry.ledger.lastEpoch;
    if (over) {
      throw new PitstopError(
        "conflict",
        `Arming ${epoch} of ${entry.target} is over; a later one has taken its place.`,
      );
    }
  }
}

/** The nonces that are good no more when the entry's present arming is over. */
const voidedBy = ({ boot, ledger }: SiteEntry): string[] =>
  [...(ledger.voided ?? []), ...(boot?.nonces ?? []).map(({ nonce }) => nonce)].slice(-MAX_VOIDED);

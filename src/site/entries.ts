import { PitstopError } from "../domain/errors.js";
import type { PlannedWay, PowerAction, SitePlan } from "../domain/session.js";
import type { BootSnapshot } from "../domain/snapshot.js";
import { wayOf } from "../ways/ways.js";
import { type Clock, iso } from "./clock.js";
import {
  endOf,
  freshBoot,
  freshEntry,
  type MintedNonce,
  type SiteBoot,
  type SiteEntry,
  type SiteMedium,
} from "./entry.js";
import type { Journal } from "./journal.js";
import { sameSecret, unguessable, voidedBy, withFresh } from "./nonces.js";
import type { SessionLink } from "./session-link.js";

/** Five boots, each with every request repeated, need fewer. Beyond it the oldest go. */
const MAX_POWER_ACTIONS = 64;

/** Makes the medium of an arming, around a nonce of its own. */
export type MakeMedium = (entry: SiteEntry, boot: SiteBoot, minted: MintedNonce) => SiteMedium;

export interface EntriesOptions {
  journal: Journal;
  link: Pick<SessionLink, "isAlive" | "isOver">;
  now: Clock;
}

/** The rules by which entries change: opened, its snapshot kept, published at each arming, withdrawn, closed. */
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

  /** Resolves when this state of the entry, or a later one, is fsynced. */
  save(entry: SiteEntry): Promise<void> {
    return this.#journal.save(entry);
  }

  /** The entry that the session holds. `notFound` where the target has none, `busy` where another session holds it. */
  own(target: string, session: string): SiteEntry {
    const entry = this.#journal.get(target);
    if (entry?.session === session) return entry;
    throw new PitstopError(
      entry ? "busy" : "notFound",
      entry
        ? `The target ${target} is held at this site by the session ${entry.session}, not by ${session}.`
        : `The site has no entry for the target ${target}; open the session first.`,
    );
  }

  /** The entry that minted this nonce in its present arming, compared in constant time. */
  byNonce(nonce: string): SiteEntry | null {
    let found: SiteEntry | null = null;
    for (const entry of this.all()) {
      for (const minted of entry.boot?.nonces ?? []) if (sameSecret(minted.nonce, nonce)) found = entry;
    }
    return found;
  }

  /** Whether an arming that is over minted this nonce, for a session that is still open here. */
  isVoided(nonce: string): boolean {
    let found = false;
    for (const { ledger } of this.all()) for (const one of ledger.voided) if (sameSecret(one, nonce)) found = true;
    return found;
  }

  /**
   * Ensures an entry for the session. Errors: `busy` while another session that is alive holds the target; `conflict` where this
   * session has ended, because nobody would close its entry, or where a newer Pitstop wrote the target's entry.
   *
   * An entry of a session that is not alive is taken over. Its snapshot is from before that session's first change, so it still
   * is what home looks like. The snapshot is dropped where the session that took it went through its own end: home may have
   * changed since.
   */
  async open(plan: SitePlan, runId: string): Promise<SiteEntry> {
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
    const entry = freshEntry(plan, runId, this.#now());
    if (present) entry.ledger.voided = voidedBy(present);
    if (kept) {
      entry.snapshot = kept.snapshot;
      // Nobody else can tell what a lost session did to the power since the snapshot.
      entry.ledger.powerActions = kept.ledger.powerActions;
    }
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

  /** Get-or-create (promise 2): returns the kept snapshot, fsynced, which may be an earlier one. */
  async keepSnapshot(target: string, session: string, snapshot: BootSnapshot): Promise<BootSnapshot> {
    const entry = this.own(target, session);
    entry.snapshot ??= snapshot;
    const kept = entry.snapshot;
    await this.#journal.save(entry);
    return kept;
  }

  /** Notes, durably, that the target's own system answered while the target was away. */
  async seenAtHome(target: string, session: string): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session || entry.ledger.ownSystemSeenAt) return;
    entry.ledger.ownSystemSeenAt = iso(this.#now());
    await this.#journal.save(entry);
  }

  /** Notes, durably, a power action before it is asked for. The same moment and reason again replace it with its result. */
  async note(target: string, session: string, action: PowerAction): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session) return;
    const others = entry.ledger.powerActions.filter(({ at, why }) => at !== action.at || why !== action.why);
    entry.ledger.powerActions = [...others, action].slice(-MAX_POWER_ACTIONS);
    await this.#journal.save(entry);
  }

  /**
   * Ensures that the target is served what the way publishes, as arming `epoch`; contacts of earlier ones are void. `medium` is called
   * once for each arming; null where the way publishes none. Errors: `invalid` for a plan without an image, `refused` past the absolute
   * deadline, `conflict` for an arming that is over.
   */
  async publish(
    target: string,
    session: string,
    epoch: number,
    way: PlannedWay,
    wasOff: boolean,
    medium: MakeMedium | null = null,
  ): Promise<SiteBoot> {
    const entry = this.own(target, session);
    this.#refuseUnfit(entry, epoch);
    if ((wayOf(way.via).publishes === "medium") !== (medium !== null)) {
      throw new TypeError("an arming has a medium where its way publishes one, and nowhere else");
    }
    if (entry.boot?.epoch === epoch) {
      await this.#journal.settle(entry);
      return entry.boot;
    }
    const boot = freshBoot(epoch, way, wasOff, unguessable());
    if (medium) {
      // The medium carries the nonce, one for the whole arming.
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

  /** Mints a nonce for a fetch of the boot script, durably. `from` is the address that asked. */
  async mintNonce(entry: SiteEntry, boot: SiteBoot, from: string): Promise<string> {
    const mintedAt = iso(this.#now());
    const nonce = unguessable();
    boot.nonces = withFresh(boot.nonces, { nonce, mintedAt, from });
    boot.scriptFetchedAt = mintedAt;
    await this.#journal.save(entry);
    return nonce;
  }

  /** Ensures that the target is served its way home. Does nothing where the session does not hold the target. */
  async withdraw(target: string, session: string): Promise<void> {
    const entry = this.#journal.get(target);
    if (entry?.session !== session) return;
    const voided = voidedBy(entry);
    entry.boot = null;
    entry.ledger = { ...entry.ledger, voided, outbox: [], leaseUntil: null };
    entry.ledger.withdrawnAt ??= iso(this.#now());
    await this.#journal.save(entry);
  }

  /** Forgets the session's entry and snapshot, durably. Does nothing where the session does not hold the target. */
  async close(target: string, session: string): Promise<void> {
    if (this.#journal.get(target)?.session === session) await this.#journal.remove(target);
  }

  /** Whether the session that took the entry's snapshot was lost, and not through its own end. */
  async #lostSnapshotOf({ target, session, snapshot }: SiteEntry): Promise<boolean> {
    return !(await this.#link.isOver(target, snapshot?.session ?? session));
  }

  /** Keeps what moved of the session's plan since its last call: its end, and how often a refused password may be tried again. */
  async renew(plan: SitePlan): Promise<SiteEntry> {
    const entry = this.own(plan.target.name, plan.session);
    return await this.#renew(entry, plan, entry.runId);
  }

  /** The same session again. After a reset its run is another one; a call that comes late does not replace a newer one. */
  async #renew(entry: SiteEntry, plan: SitePlan, runId: string): Promise<SiteEntry> {
    const { moved, retries } = entry.plan.now;
    if (entry.runId !== runId || plan.now.moved > moved || plan.now.retries > retries) {
      if (entry.runId !== runId || plan.now.moved > moved) entry.absoluteDeadline = endOf(plan, this.#now());
      entry.runId = runId;
      entry.plan = plan;
      await this.#journal.save(entry);
    }
    await this.#journal.settle(entry);
    return entry;
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

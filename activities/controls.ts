import type { Capabilities, ControlIdentity, TargetControl } from "../src/control/control.js";
import { PitstopError } from "../src/domain/errors.js";
import type { PowerAction, SitePlan } from "../src/domain/session.js";
import type { Target } from "../src/domain/target.js";
import { cancellation } from "./activity.js";
import type { Effects } from "./contract.js";

/** What an activity did to a target, collected while it runs. */
export interface Collected {
  powerActions: PowerAction[];
  /** Whether the target was changed since the activity began, or may have been. */
  wrote(): boolean;
}

export interface UseOptions {
  /** Runs before the control is asked anything: what must be done, or refused, though the BMC is away. */
  first?: () => Promise<unknown>;
  /** The identity that the boot snapshot has. */
  kept?: () => ControlIdentity | null;
}

/** Refused logins after which a session asks no more: three lock the account of some BMCs (iDRAC by default). */
const MAX_REFUSED_LOGINS = 2;

/** A BMC's refusals of the password that a session brought, since a person last had it tried again. */
interface Refusal {
  session: string;
  retries: number;
  times: number;
  error: PitstopError;
}

/**
 * One open control per session and one mutex per target: an attempt whose time-out Temporal has seen, but which still
 * waits for a BMC, ends before the next one begins, and so cannot reset a target later.
 */
export class Controls {
  private readonly open = new Map<string, { session: string; control: TargetControl }>();
  private readonly tails = new Map<string, Promise<void>>();
  /** One a target at most, until it lets somebody in. */
  private readonly refusals = new Map<string, Refusal>();

  constructor(private readonly connect: (target: Target) => Promise<TargetControl>) {}

  /**
   * Runs `work` alone on the target, whose identity is proved before, and says what it cost. A failure carries whether anything
   * was written.
   */
  async use<T extends object>(
    plan: SitePlan,
    work: (can: Capabilities, collected: Collected) => Promise<T>,
    { first, kept }: UseOptions = {},
  ): Promise<T & Effects> {
    const name = plan.target.name;
    return await this.alone(name, async () => {
      if (cancellation().aborted) throw new PitstopError("unreachable", "The attempt was cancelled before it began.");
      this.mindRefusals(plan);
      const control = await this.get(plan);
      const before = control.usage();
      const wrote = () => control.usage().writes > before.writes;
      const collected: Collected = { powerActions: [], wrote };
      try {
        await first?.();
        const result = await work(await control.prove(kept?.() ?? null), collected);
        this.refusals.delete(name);
        const after = control.usage();
        return {
          ...result,
          powerActions: collected.powerActions,
          bmcRequests: { total: after.total - before.total, powerPolls: after.powerPolls - before.powerPolls },
        };
      } catch (error) {
        // A control that failed may hold a dead connection or session: the next attempt begins afresh.
        await this.close(name);
        this.noteRefusal(plan, error);
        throw error instanceof PitstopError ? withWrote(error, wrote()) : error;
      }
    });
  }

  /**
   * Refuses what the BMC would refuse: an attempt whose failure never reached Temporal is made again, and each would log in once more.
   * A site that was restarted has forgotten, and asks again.
   */
  private mindRefusals(plan: SitePlan): void {
    const refusal = this.refusalOf(plan);
    if (refusal && refusal.times >= MAX_REFUSED_LOGINS) throw refusal.error;
  }

  private noteRefusal(plan: SitePlan, error: unknown): void {
    if (!(error instanceof PitstopError) || error.code !== "unauthorized") return;
    const { session, now } = plan;
    const times = (this.refusalOf(plan)?.times ?? 0) + 1;
    this.refusals.set(plan.target.name, { session, retries: now.retries, times, error });
  }

  /** Another session, or a person's word, begins anew: the password, or the BMC, may have been put right. */
  private refusalOf({ target, session, now }: SitePlan): Refusal | null {
    const refusal = this.refusals.get(target.name);
    return refusal?.session === session && refusal.retries === now.retries ? refusal : null;
  }

  /** Logs out; the number of requests that the whole control has sent since `use` last counted is in the result. */
  async end(plan: SitePlan): Promise<Effects> {
    return await this.alone(plan.target.name, async () => {
      const held = this.open.get(plan.target.name);
      const before = held?.control.usage() ?? { total: 0, powerPolls: 0, writes: 0 };
      await this.close(plan.target.name);
      this.refusals.delete(plan.target.name);
      const after = held?.control.usage() ?? before;
      return { powerActions: [], bmcRequests: { total: after.total - before.total, powerPolls: 0 } };
    });
  }

  /** Closes every control; for the end of the process. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.open.keys()].map((name) => this.close(name)));
  }

  private async get(plan: SitePlan): Promise<TargetControl> {
    const name = plan.target.name;
    const held = this.open.get(name);
    if (held?.session === plan.session) return held.control;
    await this.close(name);
    const control = await this.connect(plan.target);
    this.open.set(name, { session: plan.session, control });
    return control;
  }

  private async close(name: string): Promise<void> {
    const held = this.open.get(name);
    this.open.delete(name);
    await held?.control.close();
  }

  private async alone<T>(name: string, run: () => Promise<T>): Promise<T> {
    const tail = this.tails.get(name) ?? Promise.resolve();
    const mine = tail.then(run, run);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.tails.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.tails.get(name) === settled) this.tails.delete(name);
    }
  }
}

/** `wrote` travels with the failure: a session whose arming changed nothing has nothing to put back. */
const withWrote = (error: PitstopError, wrote: boolean): PitstopError =>
  new PitstopError(error.code, error.message, { cause: error.cause, facts: { ...error.facts, wrote } });

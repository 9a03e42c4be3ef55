import type { TargetControl } from "../src/control/control.js";
import { PitstopError } from "../src/domain/errors.js";
import type { PowerAction, SessionPlan } from "../src/domain/session.js";
import type { Target } from "../src/domain/target.js";
import { cancellation } from "./activity.js";
import type { Effects } from "./contract.js";

/** What an activity did to a target, collected while it runs. */
export interface Collected {
  powerActions: PowerAction[];
}

/**
 * One open control per session and one mutex per target: an attempt whose time-out Temporal has seen, but which still
 * waits for a BMC, ends before the next one begins, and so cannot reset a target later.
 */
export class Controls {
  private readonly open = new Map<string, { session: string; control: TargetControl }>();
  private readonly tails = new Map<string, Promise<void>>();

  constructor(private readonly connect: (target: Target) => Promise<TargetControl>) {}

  /** Runs `use` alone on the target, and says what it cost. */
  async use<T extends object>(
    plan: SessionPlan,
    use: (control: TargetControl, collected: Collected) => Promise<T>,
  ): Promise<T & Effects> {
    const name = plan.target.name;
    return await this.alone(name, async () => {
      if (cancellation().aborted) throw new PitstopError("unreachable", "The attempt was cancelled before it began.");
      const control = await this.get(plan);
      const before = control.usage();
      const collected: Collected = { powerActions: [] };
      try {
        const result = await use(control, collected);
        const after = control.usage();
        return {
          ...result,
          powerActions: collected.powerActions,
          bmcRequests: { total: after.total - before.total, powerPolls: after.powerPolls - before.powerPolls },
        };
      } catch (error) {
        // A control that failed may hold a dead connection or session: the next attempt begins afresh.
        await this.close(name);
        throw error;
      }
    });
  }

  /** Logs out; the number of requests that the whole control has sent since `use` last counted is in the result. */
  async end(plan: SessionPlan): Promise<Effects> {
    return await this.alone(plan.target.name, async () => {
      const held = this.open.get(plan.target.name);
      const before = held?.control.usage() ?? { total: 0, powerPolls: 0 };
      await this.close(plan.target.name);
      const after = held?.control.usage() ?? before;
      return { powerActions: [], bmcRequests: { total: after.total - before.total, powerPolls: 0 } };
    });
  }

  /** Closes every control; for the end of the process. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.open.keys()].map((name) => this.close(name)));
  }

  private async get(plan: SessionPlan): Promise<TargetControl> {
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

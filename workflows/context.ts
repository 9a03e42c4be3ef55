import type { Duration } from "@temporalio/common";
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  sleep,
} from "@temporalio/workflow";
import type { CentralActivities, SiteActivities } from "../activities/contract.js";
import { CENTRAL_QUEUE, siteQueue } from "../src/domain/ids.js";
import type { SessionNow, SessionPlan } from "../src/domain/session.js";
import type { Logbook } from "./logbook.js";
import type { Inbox, Interrupt } from "./messages.js";
import type { Records } from "./records.js";
import type { ObservedTarget } from "./target-state.js";

/** Failures that no repetition mends: a person must change something first. A 401 above all (lock-outs). */
const FINAL = ["invalid", "unauthorized", "notFound", "busy", "conflict", "refused"];

/** One line for the Temporal UI beside each name. */
const CENTRAL_SUMMARIES: Record<keyof CentralActivities, string> = {
  planSession: "Freeze target, action and image",
  planCampaign: "Which targets?",
  awaitFreeTarget: "Wait until the target is free",
  keepSnapshot: "Keep the boot snapshot in the catalogue",
  recordSession: "Write the session's record",
  closeSnapshot: "Forget the boot snapshot",
};

/** Central work is short: local activities, so that it costs one event and no hop. */
export const central = summarised(
  proxyLocalActivities<CentralActivities>({
    startToCloseTimeout: "20s",
    // A local activity that fails for longer would hold the workflow task; what must not be lost is tried by `patient`.
    retry: { initialInterval: "100ms", maximumInterval: "2s", maximumAttempts: 5, nonRetryableErrorTypes: FINAL },
  }),
);

/** The same activities, for what must not be lost while the catalogue is away for up to so long. */
const waitingFor = (scheduleToCloseTimeout: Duration, maximumInterval: Duration) =>
  summarised(
    proxyActivities<CentralActivities>({
      taskQueue: CENTRAL_QUEUE,
      startToCloseTimeout: "30s",
      scheduleToCloseTimeout,
      retry: { initialInterval: "1s", maximumInterval, nonRetryableErrorTypes: FINAL },
    }),
  );

/** Up to a day: the record of a target that is home says so. */
export const patient = waitingFor("24h", "1m");

const briefly = waitingFor("5m", "5s");

/** Before anything is asked of the target: retry for 5 min while the catalogue is away, then end the session untouched. */
export const beforeDeparture = {
  planSession: retriedBriefly("planSession"),
  recordSession: retriedBriefly("recordSession"),
  keepSnapshot: retriedBriefly("keepSnapshot"),
};

function retriedBriefly<N extends keyof CentralActivities>(name: N): CentralActivities[N] {
  return (async (input: never) => {
    try {
      return await central[name](input);
    } catch (error) {
      if (isFinal(error)) throw error;
      return await briefly[name](input);
    }
  }) as CentralActivities[N];
}

/** A repetition does not help, or was cancelled. */
function isFinal(error: unknown): boolean {
  if (isCancellation(error)) return true;
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && (cause.nonRetryable === true || FINAL.includes(cause.type ?? ""));
}

type WithSummary = { executeWithOptions(options: { summary: string }, args: unknown[]): Promise<unknown> };

function summarised(activities: Record<keyof CentralActivities, unknown>): CentralActivities {
  const calls = Object.entries(CENTRAL_SUMMARIES).map(([name, summary]) => [
    name,
    (input: unknown) =>
      (activities[name as keyof CentralActivities] as WithSummary).executeWithOptions({ summary }, [input]),
  ]);
  return Object.fromEntries(calls) as CentralActivities;
}

export interface SiteCall {
  /** One line for the Temporal UI, up to 200 bytes. */
  summary: string;
  /** Bound of one attempt, milliseconds. */
  limitMs: number;
  /** Attempts; a control that is away for a moment is the normal case. */
  attempts?: number;
  /** Bound of all attempts together, milliseconds. */
  withinMs?: number;
}

/** The frozen plan, and what moves of it, are added to each call. */
type SiteInput<K extends keyof SiteActivities> = Omit<Parameters<SiteActivities[K]>[0], "plan">;

export type AtSite = <K extends keyof SiteActivities>(
  name: K,
  input: SiteInput<K>,
  call: SiteCall,
) => ReturnType<SiteActivities[K]>;

/** Calls an activity of the target's site. Its cancellation is waited for, so that no write to a BMC is left behind. */
export function siteCalls(plan: SessionPlan, log: Logbook, schedule: Schedule): AtSite {
  const proxy = proxyActivities<SiteActivities>({
    taskQueue: siteQueue(plan.target.site),
    startToCloseTimeout: "5m",
  });
  return (async (name: keyof SiteActivities, input: object, call: SiteCall) => {
    const running = proxy[name].executeWithOptions(
      {
        summary: call.summary,
        startToCloseTimeout: call.limitMs,
        // A site without a worker is away: all but the wait for it fails then.
        ...(name === "awaitControl" ? {} : { scheduleToStartTimeout: "5m" as const }),
        ...(call.withinMs ? { scheduleToCloseTimeout: call.withinMs } : {}),
        // Four missed beats of a site that died, or a machine that stalled for as long.
        heartbeatTimeout: "20s",
        cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        retry:
          name === "awaitControl"
            ? { ...PATIENT_RETRY, nonRetryableErrorTypes: FINAL }
            : { ...DIRECT_RETRY, maximumAttempts: call.attempts ?? 5, nonRetryableErrorTypes: FINAL },
      },
      [{ plan: { ...plan, now: schedule.now() }, ...input }] as never,
    );
    return await running.catch((error: unknown) => {
      log.countFailed(error);
      throw error;
    });
  }) as AtSite;
}

const DIRECT_RETRY = { initialInterval: "500ms", maximumInterval: "15s" } as const;
/** Waits for a site or a BMC: retried by the Temporal server, so that the history does not grow with the wait. */
const PATIENT_RETRY = { initialInterval: "2s", maximumInterval: "10m" } as const;

/** What moves while the plan stands: the session's end, and how often a refused password may be asked for once more. */
export class Schedule {
  private moved = 0;
  private retries = 0;

  /** `endsAt`: milliseconds since 1970 by the workflow's clock. */
  constructor(private endsAt: number) {}

  get leftMs(): number {
    return Math.max(0, this.endsAt - Date.now());
  }

  /**
   * Moves the end by what has passed since then: an approval that was waited for, an image that was fetched from afar. Otherwise the wait
   * would shorten the work.
   */
  extendSince(sinceMs: number): void {
    this.endsAt += Date.now() - sinceMs;
    this.moved++;
  }

  allowRetry(): void {
    this.retries++;
  }

  now(): SessionNow {
    return { leftMs: this.leftMs, moved: this.moved, retries: this.retries };
  }
}

/** The work was cut short. */
export class Interrupted extends Error {
  constructor(readonly by: Interrupt) {
    super(by.kind);
    this.name = "Interrupted";
  }
}

/** An activity that was under way when the work was cut short may still succeed; the next step does not begin. */
export function stopIfCutShort(): void {
  if (CancellationScope.current().consideredCancelled) throw new CancelledFailure("The work was cut short.");
}

/** Lets messages cut the work short, and nothing else: the way home is never interrupted. */
export class Interrupts {
  private cause: Interrupt | null = null;
  private scope: CancellationScope | null = null;

  raise(cause: Interrupt): void {
    // A person's word stands above what was seen before: an action that would resume does not, then.
    if (this.cause === null || cause.kind === "abort") this.cause = cause;
    this.scope?.cancel();
  }

  /** Forgets an interrupt that was dealt with, so that the work may go on. */
  clear(): void {
    this.cause = null;
  }

  /** Runs `work` until it ends, is interrupted, or has taken `limitMs`; cancelled parts are waited for. */
  async during<T>(limitMs: number | null, work: () => Promise<T>): Promise<T> {
    if (this.cause) throw new Interrupted(this.cause);
    const timer = new CancellationScope();
    try {
      return await CancellationScope.cancellable(async () => {
        this.scope = CancellationScope.current();
        if (limitMs !== null) {
          timer
            .run(() => sleep(limitMs, { summary: "The work must have ended" }))
            .then(
              () => this.raise({ kind: "deadline" }),
              () => undefined,
            );
        }
        return await work();
      });
    } catch (error) {
      // What fails while it is cut short, fails because of that.
      if (this.cause) throw new Interrupted(this.cause);
      if (isCancellation(error)) throw new Interrupted(cancelledFromOutside(error as CancelledFailure));
      throw error;
    } finally {
      this.scope = null;
      timer.cancel();
    }
  }
}

/** Cancel in the Temporal UI means abort. */
const cancelledFromOutside = (_: CancelledFailure): Interrupt => ({
  kind: "abort",
  by: "a cancellation in Temporal",
  reason: "",
});

/** What the parts of a session share. */
export interface SessionContext {
  readonly plan: SessionPlan;
  readonly log: Logbook;
  readonly records: Records;
  readonly inbox: Inbox;
  readonly site: AtSite;
  readonly interrupts: Interrupts;
  readonly target: ObservedTarget;
  readonly schedule: Schedule;
}

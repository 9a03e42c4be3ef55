import type { Duration } from "@temporalio/common";
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  isCancellation,
  patched,
  proxyActivities,
  proxyLocalActivities,
  sleep,
} from "@temporalio/workflow";
import type { CentralActivities, SiteActivities } from "../activities/contract.js";
import { CENTRAL_QUEUE, siteQueue } from "../src/domain/ids.js";
import type { SessionPlan } from "../src/domain/session.js";
import type { Logbook } from "./logbook.js";
import type { Interrupt, Mailbox } from "./messages.js";

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

/** Up to a day: a target that is home is told so. */
export const patient = waitingFor("24h", "1m");

const briefly = waitingFor("5m", "5s");

/**
 * Before anything is asked of the target: a start that nobody looks at is not lost because the catalogue's disk was full
 * for a moment. What is away for longer ends the session, untouched.
 */
export const atTheOutset = {
  planSession: outlasting("planSession"),
  recordSession: outlasting("recordSession"),
  keepSnapshot: outlasting("keepSnapshot"),
};

function outlasting<N extends keyof CentralActivities>(name: N): CentralActivities[N] {
  return (async (input: never) => {
    try {
      return await central[name](input);
    } catch (error) {
      if (isFinal(error) || !patched("outlast-catalogue")) throw error;
      return await briefly[name](input);
    }
  }) as CentralActivities[N];
}

/** No repetition mends it, or it is wanted no more. */
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
}

export type AtSite = <K extends keyof SiteActivities>(
  name: K,
  input: Parameters<SiteActivities[K]>[0],
  call: SiteCall,
) => ReturnType<SiteActivities[K]>;

/** Calls an activity of the target's site. Its cancellation is waited for, so that no write to a BMC is left behind. */
export function siteCalls(plan: SessionPlan, log: Logbook): AtSite {
  const proxy = proxyActivities<SiteActivities>({
    taskQueue: siteQueue(plan.target.site),
    startToCloseTimeout: "5m",
  });
  return (async (name: keyof SiteActivities, input: never, call: SiteCall) => {
    const running = proxy[name].executeWithOptions(
      {
        summary: call.summary,
        startToCloseTimeout: call.limitMs,
        // A site that nobody serves announces itself instead of waiting for ever.
        scheduleToStartTimeout: "5m",
        // Four missed beats of a site that died, or a machine that stalled for as long.
        heartbeatTimeout: "20s",
        cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        retry: {
          initialInterval: "500ms",
          maximumInterval: "15s",
          maximumAttempts: call.attempts ?? 5,
          nonRetryableErrorTypes: FINAL,
        },
      },
      [input],
    );
    return await running.catch((error: unknown) => {
      log.countFailed(error);
      throw error;
    });
  }) as AtSite;
}

/**
 * What has passed since then is nobody's work: an approval that was waited for, an image that was fetched from afar. Without this
 * it would eat the time after which an image goes home in the midst of its work.
 */
export function notCounted(plan: SessionPlan, sinceMs: number): void {
  plan.absoluteDeadline = new Date(Date.parse(plan.absoluteDeadline) + Date.now() - sinceMs).toISOString();
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
  readonly mail: Mailbox;
  readonly site: AtSite;
  readonly interrupts: Interrupts;
  readonly leg: Leg;
}

/** Where the target is on its way, as far as the session knows. */
export interface Leg {
  /** Which arming: 0 before the first. Contacts of an earlier one are void. */
  epoch: number;
  /** An arming was asked for, by this session or a lost one, and not seen to be done: a BMC's reading may be older than it. */
  armUnsure: boolean;
  /** A power-off was verified since departure: home's next answer must come from a new boot. */
  verifiedOff: boolean;
  /**
   * For how long the target's own system may still obey a shutdown, in milliseconds; 0 where none was asked for, or it was powered on
   * since. A length of time that passes again, because how much of it is over only clocks could tell that may be set meanwhile.
   */
  lateOffMs: number;
  /** It waited for a person: whoever mended it may have rebooted it, and either boot is home then. */
  unwatched: boolean;
  /**
   * What runs may be the target's own system, and is never forced off, however silent it is. So from the beginning to
   * the first verified power-off, from the power-on that brings it home, and where it left the image by itself.
   */
  mayBeHome: boolean;
  /**
   * Since when nothing is heard, in milliseconds since 1970: since it was powered on, armed, by a boot that made no contact yet,
   * or since its image was found mute, which may have given way to its own system. Else null.
   */
  unseenSince: number | null;
  /** Known from the last step; null: only a look tells. */
  running: "off" | "image" | null;
}

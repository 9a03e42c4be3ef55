import { TimeoutFailure } from "@temporalio/common";
import { CancellationScope, sleep } from "@temporalio/workflow";
import type { SessionContext } from "./context.js";
import { failureOf } from "./logbook.js";

const MINUTE = 60_000;
/** After this long a campaign counts the target as waiting, and goes on. */
const CAMPAIGN_WAITS_MS = 30 * MINUTE;
/** A site whose worker was restarted is back sooner. */
const NOT_AWAY_MS = 30_000;

/** Whether a site or a BMC is away, or cannot be read: a wait may help, and a person cannot. */
export const isAway = (error: unknown): boolean => failureOf(error).code === "unreachable";

/**
 * Waits until the target's control answers, and says so in the session's status. Resolves to whether anything was away: a control that
 * answers at once failed for another reason. Throws what ended the wait: a cancellation, a failure that no wait mends, or `unreachable`
 * after `withinMs`.
 */
export async function awaitControl(ctx: SessionContext, error: unknown, withinMs?: number): Promise<boolean> {
  const { log, site, records } = ctx;
  const since = Date.now();
  const what = absentee(ctx, error);
  log.waitFor(what);
  void records.keep();
  const campaign = new CancellationScope();
  campaign
    .run(() => sleep(CAMPAIGN_WAITS_MS, { summary: "The campaign goes on without this target" }))
    .then(
      () => records.announce(),
      () => undefined,
    );
  try {
    const call = { summary: `Waiting for ${what}`, limitMs: 2 * MINUTE, ...(withinMs ? { withinMs } : {}) };
    const { attempts } = log.count(await site("awaitControl", {}, call));
    return attempts > 1 || Date.now() - since > NOT_AWAY_MS;
  } finally {
    campaign.cancel();
    log.waitFor(null);
    void records.keep();
  }
}

/** A call that no worker took, or whose worker fell silent, says that the site is away; all else is of its BMC. */
function absentee({ plan }: SessionContext, error: unknown): string {
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof TimeoutFailure && cause.timeoutType !== "START_TO_CLOSE"
    ? `the site ${plan.target.site}`
    : `the BMC of ${plan.target.name}`;
}

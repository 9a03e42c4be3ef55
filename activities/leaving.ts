import { readPower } from "../src/control/boot-state.js";
import type { Power } from "../src/control/control.js";
import type { SitePlan } from "../src/domain/session.js";
import { growing, pause } from "./activity.js";
import type { SiteDeps } from "./site.js";
import { whatRuns } from "./whereabouts.js";

/** How long the agent may take to hear that its work is over, and then to turn the machine off, before it is forced. */
const FINISH_HEARD_MS = 2_000;
const FINISH_OFF_MS = 15_000;

/** How the session leaves the image: by force, or not yet, because the target's own system may run. `tookMs`: the machine's own time. */
type Left = { by: "force"; tookMs: number } | { by: "leaving"; mute: boolean };

/**
 * Whether the plug may be pulled: what runs is the image, and had its chance to end. An agent that takes the word is there. A
 * silent one may have given way to the target's own system, which is asked, and has its time to come up; where the session counts
 * that (`unseenMs`), it waits as well.
 */
export async function leaveImage(deps: SiteDeps, power: Power, plan: SitePlan, unseenMs: number | null): Promise<Left> {
  const since = performance.now();
  let mute = false;
  for (const ms of growing(1_000, 5_000)) {
    // Again each time: one that was only slow, or cut off for a while, comes back for it.
    const taken = await deps.site.finish(plan.target.name, plan.session, "off", FINISH_HEARD_MS);
    const { off, tookMs } = taken ? await waitForOff(power) : { off: false, tookMs: 0 };
    if (off) return { by: "force", tookMs };
    // An agent that took the word may have been reset before it was off, or the response went to a closed connection.
    const mutedMs = performance.now() - since;
    const runs = await whatRuns(deps, power, plan, unseenMs ?? mutedMs, unseenMs !== null);
    if (runs === "image") return { by: "force", tookMs: 0 };
    if (runs !== "mute" || unseenMs !== null) return { by: "leaving", mute: mute && runs === "perhaps" };
    mute = true;
    if (mutedMs >= plan.limits.homeMs) return { by: "leaving", mute };
    await pause(ms);
  }
  throw new Error("unreachable: the pauses never end");
}

/** The agent syncs and turns the machine off by itself, which is quicker and cleaner than the plug. */
async function waitForOff(power: Power): Promise<{ off: boolean; tookMs: number }> {
  const startedAt = performance.now();
  for (const ms of growing(50, 1_000)) {
    const waitedMs = Math.round(performance.now() - startedAt);
    const off = (await readPower(power)) === "Off";
    if (off || waitedMs > FINISH_OFF_MS) return { off, tookMs: waitedMs };
    await pause(ms);
  }
  throw new Error("unreachable: the pauses never end");
}

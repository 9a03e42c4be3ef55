import type { TargetControl } from "../src/control/control.js";
import type { SessionPlan } from "../src/domain/session.js";
import { growing, pause } from "./activity.js";
import type { SiteDeps } from "./site.js";
import { whatRuns } from "./whereabouts.js";

/** How long the agent may take to hear that its work is over, and then to turn the machine off, before it is forced. */
const FINISH_HEARD_MS = 2_000;
const FINISH_OFF_MS = 15_000;

/** How the image is left: by force; or not at all, because what runs may be the target's own system. `tookMs`: the machine's own time. */
type Left = { by: "force"; tookMs: number } | { by: "leaving"; mute: boolean };

/**
 * Whether the plug may be pulled: what runs is the image, and had its chance to end. An agent that takes the word is there. A
 * silent one may have given way to the target's own system, which is asked, and has its time to come up; where the session counts
 * that (`unseenMs`), it waits as well.
 */
export async function leaveImage(
  deps: SiteDeps,
  control: TargetControl,
  plan: SessionPlan,
  unseenMs: number | null,
): Promise<Left> {
  const since = performance.now();
  let mute = false;
  for (const ms of growing(1_000, 5_000)) {
    // Again each time: one that was only slow, or cut off for a while, comes back for it.
    const taken = await deps.site.finish(plan.target.name, plan.session, "off", FINISH_HEARD_MS);
    const { off, tookMs } = taken ? await waitForOff(control) : { off: false, tookMs: 0 };
    if (off) return { by: "force", tookMs };
    // One that took the word and is on may have been reset before it was off; or the word went to a connection of nobody.
    const mutedMs = performance.now() - since;
    const runs = await whatRuns(deps, control, plan, unseenMs ?? mutedMs, unseenMs !== null);
    if (runs === "image") return { by: "force", tookMs: 0 };
    if (runs !== "mute" || unseenMs !== null) return { by: "leaving", mute: mute && runs === "perhaps" };
    mute = true;
    if (mutedMs >= plan.limits.homeMs) return { by: "leaving", mute };
    await pause(ms);
  }
  throw new Error("unreachable: the pauses never end");
}

/** The agent syncs and turns the machine off by itself, which is quicker and cleaner than the plug. */
async function waitForOff(control: TargetControl): Promise<{ off: boolean; tookMs: number }> {
  const startedAt = performance.now();
  for (const ms of growing(50, 1_000)) {
    const waitedMs = Math.round(performance.now() - startedAt);
    const off = (await control.power()) === "Off";
    if (off || waitedMs > FINISH_OFF_MS) return { off, tookMs: waitedMs };
    await pause(ms);
  }
  throw new Error("unreachable: the pauses never end");
}

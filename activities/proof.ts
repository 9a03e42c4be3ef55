import { captureBootState, compareBootStates, powerOf, readPower } from "../src/control/boot-state.js";
import type { Capabilities, Power } from "../src/control/control.js";
import { ensureOn } from "../src/control/ensure.js";
import { proveHome } from "../src/control/home.js";
import type { HomeVerdict, PowerAction } from "../src/domain/session.js";
import type { HomeAnswer } from "../src/domain/snapshot.js";
import { cancellation, growing, pause } from "./activity.js";
import type { SiteActivities } from "./contract.js";
import type { Collected } from "./controls.js";
import type { SiteDeps } from "./site.js";

type Input = Parameters<SiteActivities["verifyHome"]>[0];

/**
 * Waits for the proof that the target's own system runs, then compares the boot state with the snapshot: in that
 * order, because firmware may still write its boot order until it hands over.
 */
export async function verifyHome(
  deps: Pick<SiteDeps, "askHome">,
  can: Capabilities,
  collected: Collected,
  note: (action: PowerAction) => Promise<void>,
  input: Input,
): Promise<{ verdict: HomeVerdict; waitedMs: number; provedAt: string }> {
  const startedAt = Date.now();
  const power = powerOf(can);
  const lateOff = await watchForLatePowerOff(power, collected, note, input.watchLateOffMs);
  const home =
    input.snapshot.state.power === "On"
      ? await waitForProof(deps, power, collected, note, { ...input, rebooted: lateOff || input.rebooted })
      : await waitForSilence(deps, power, input);
  const provedAt = Date.now();
  const after = await captureBootState(can);
  const { differences, added } = compareBootStates(can, input.snapshot.state, after);
  const verdict = { ...home, after, differences, added };
  return { verdict, waitedMs: provedAt - startedAt, provedAt: new Date(provedAt).toISOString() };
}

/** A system may obey a shutdown after its deadline: the watch sees that and powers the target on again. */
async function watchForLatePowerOff(
  power: Power,
  collected: Collected,
  note: (action: PowerAction) => Promise<void>,
  forMs: number,
): Promise<boolean> {
  const deadline = performance.now() + forMs;
  while (performance.now() < deadline) {
    if (await wasOff(power, collected, note, "it obeyed the shutdown after its deadline")) return true;
    await pause(2_000);
  }
  return false;
}

/** `wasOff` powers a target on that it finds off. A BMC may say off for a moment of a machine that is on: then it does nothing. */
async function wasOff(
  power: Power,
  collected: Collected,
  note: (action: PowerAction) => Promise<void>,
  why: string,
): Promise<boolean> {
  if ((await readPower(power)) !== "Off") return false;
  const { actions } = await ensureOn(power, { why, signal: cancellation(), note });
  collected.powerActions.push(...actions);
  return actions.length > 0;
}

/** A BMC may say for a moment that a machine is off which is not. */
const SILENCE_MS = 30_000;

/**
 * A target that was off is home when its BMC says off and its own system is silent. An answer that outlasts `SILENCE_MS` comes from
 * another machine at that address, or the BMC lies for good: the verdict reports it and does not fail.
 */
async function waitForSilence(
  deps: Pick<SiteDeps, "askHome">,
  power: Power,
  { plan }: Input,
): Promise<Pick<HomeVerdict, "proved" | "strength" | "reason" | "checks">> {
  const deadline = performance.now() + SILENCE_MS;
  for (;;) {
    const checks = await Promise.all(plan.target.home.map(deps.askHome));
    const speaks = checks.find((answer) => answer.answered);
    const over = speaks === undefined || performance.now() > deadline || (await readPower(power)) === "On";
    const reason = speaks ? `${speaks.check} answers, although the BMC says that the target is off.` : null;
    if (over) return { proved: true, strength: "off", reason, checks };
    await pause(2_000);
  }
}

/** Between the looks at the power of a target that does not answer yet: it may lose it on its way up. */
const POWER_LOOK_MS = 15_000;
const MAX_POWER_LOSSES = 2;

/** A target that loses its power on its way up is powered on again, and has the whole time to come up once more; twice at most. */
async function waitForProof(
  deps: Pick<SiteDeps, "askHome">,
  power: Power,
  collected: Collected,
  note: (action: PowerAction) => Promise<void>,
  { plan, snapshot, rebooted: since }: Input,
): Promise<Pick<HomeVerdict, "proved" | "strength" | "reason" | "checks">> {
  // Not of the wall clock, which may be set while a machine boots.
  let deadline = performance.now() + plan.limits.homeMs;
  let lookAt = performance.now() + POWER_LOOK_MS;
  let rebooted = since;
  let losses = 0;
  let checks: HomeAnswer[] = [];
  for (const ms of growing(100, 2_000)) {
    if (performance.now() >= lookAt && losses < MAX_POWER_LOSSES) {
      lookAt = performance.now() + POWER_LOOK_MS;
      if (await wasOff(power, collected, note, "it lost its power on its way home")) {
        losses++;
        rebooted = true;
        deadline = performance.now() + plan.limits.homeMs;
      }
    }
    checks = await Promise.all(plan.target.home.map(deps.askHome));
    const proof = proveHome(snapshot.home, checks, { rebooted });
    if (proof.proved || performance.now() > deadline) return { ...proof, checks };
    await pause(ms);
  }
  throw new Error("unreachable: the pauses never end");
}

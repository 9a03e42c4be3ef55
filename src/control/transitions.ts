import { PitstopError } from "../domain/errors.js";
import { powerOf, readPower } from "./boot-state.js";
import type { Capabilities } from "./control.js";
import { type Ensured, type EnsureOptions, ensureOff, ensureOn, type OffHow } from "./ensure.js";

/** `coldBoot` where the power can be read; `warmBoot` where only the system that runs can restart the target. */
export const transitionOf = (can: Capabilities): "cold" | "warm" => (can.power === null ? "warm" : "cold");

/**
 * `coldBoot` brings the target to off, verifies that, arms it while it is off, and powers it on: an override that was spent, or
 * lost, by the way down is set again. Errors as {@link ensureOff} and `arm`; after a refused arming the target stays off.
 */
export async function coldBoot(
  can: Capabilities,
  how: OffHow,
  arm: () => Promise<unknown>,
  options: EnsureOptions,
): Promise<Ensured> {
  const off = await ensureOff(powerOf(can), how, options);
  const on = await armedOn(can, arm, options);
  return { actions: [...off.actions, ...on.actions], tookMs: off.tookMs + on.tookMs };
}

/** `armedOn` is the second half of {@link coldBoot}. A target that is on already is not armed: that boot has begun. */
export async function armedOn(
  can: Capabilities,
  arm: () => Promise<unknown>,
  options: EnsureOptions,
): Promise<Ensured> {
  const power = powerOf(can);
  if ((await readPower(power)) === "Off") await arm();
  return await ensureOn(power, options);
}

export interface WarmBoot {
  arm(): Promise<unknown>;
  /** Asks the system that runs to restart; its answer may be lost. */
  restart(): Promise<void>;
  /** The boot id of the system that answers now; null where none answers. */
  bootId(): Promise<string | null>;
  /** Milliseconds for the restart. */
  limitMs: number;
  sleep(ms: number): Promise<unknown>;
  now(): number;
}

/** Between two looks at the boot id, in milliseconds: a boot takes tens of seconds. */
const BOOT_ID_PAUSE_MS = 1_000;

/**
 * `warmBoot` arms the target and restarts it through the system that runs. Only a new boot id proves the restart.
 * Errors: `refused` where no system answers before, `unreachable` where no other boot answers within `limitMs`.
 */
export async function warmBoot(boot: WarmBoot): Promise<{ before: string; after: string }> {
  const before = await boot.bootId();
  if (before === null) {
    throw new PitstopError("refused", "No system of the target answers, so nothing could restart it; power it on.");
  }
  await boot.arm();
  const deadline = boot.now() + boot.limitMs;
  await boot.restart().catch((error: unknown) => {
    if (!(error instanceof PitstopError) || error.code !== "unreachable") throw error;
  });
  while (boot.now() < deadline) {
    await boot.sleep(BOOT_ID_PAUSE_MS);
    const after = await boot.bootId();
    if (after !== null && after !== before) return { before, after };
  }
  throw new PitstopError(
    "unreachable",
    `The target was asked to restart, and no other boot of it answered within ${Math.round(boot.limitMs / 1000)} s; look at its console.`,
  );
}

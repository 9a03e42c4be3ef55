import type { HomeAnswer } from "../../domain/snapshot.js";

export interface HomeProof {
  proved: boolean;
  strength: "strong" | "weak" | "none";
  /** Why it is not proved, or why the proof is weak. */
  reason: string | null;
}

/**
 * Whether the target's own system runs again (promise 7), by the answers of its home checks before departure and now.
 *
 * - Another machine id or host key than before is no home, whatever else answers.
 * - A check that answered before must answer now.
 * - `strong`: the same machine with a new boot id after a verified power-off (`rebooted`), or with the same boot id
 *   where there was none; with either where nobody knows (`rebooted` is null).
 * - `weak`: something answers, and nothing says who or since when.
 */
export function proveHome(
  before: HomeAnswer[],
  now: HomeAnswer[],
  { rebooted }: { rebooted: boolean | null },
): HomeProof {
  const verdicts = now.map((answer) =>
    judge(before.find((one) => one.check === answer.check) ?? null, answer, rebooted),
  );
  const against = verdicts.find((verdict) => !verdict.proved);
  if (against) return against;
  for (const strength of ["strong", "weak"] as const) {
    const best = verdicts.find((verdict) => verdict.strength === strength);
    if (best) return best;
  }
  return not(verdicts[0]?.reason ?? "The target has no home check.");
}

function judge(before: HomeAnswer | null, now: HomeAnswer, rebooted: boolean | null): HomeProof {
  if (!now.answered) {
    // What did not answer before departure proves nothing by its silence now, unless all are silent.
    if (before !== null && !before.answered) return silentAsBefore(now);
    return not(`${now.check} does not answer: ${now.reason ?? "no reason given"}.`);
  }
  if (before === null || !before.answered) {
    return weak(`${now.check} answers, but did not before departure, so there is nothing to compare it with.`);
  }
  const other = otherMachine(before, now);
  if (other !== null) return not(`${now.check} answers from another system than before departure: ${other}.`);
  if (before.bootId !== null && now.bootId === null) {
    return not(`${now.check} answers without the boot id that it told before departure.`);
  }
  if (before.bootId === null || now.bootId === null) {
    return weak(`${now.check} answers, but tells no boot id: it may be anything at that address.`);
  }
  if (rebooted && before.bootId === now.bootId) {
    return not(`${now.check} answers with the boot id of before departure, although the target was off since.`);
  }
  if (rebooted === false && before.bootId !== now.bootId) {
    return not(`${now.check} answers with another boot id, although Pitstop did not power the target off.`);
  }
  const known = before.machineId !== null || before.hostKey !== null;
  return known
    ? { proved: true, strength: "strong", reason: null }
    : weak(`${now.check} tells a boot id, but neither machine id nor host key.`);
}

function otherMachine(before: HomeAnswer, now: HomeAnswer): string | null {
  if (before.machineId !== now.machineId && before.machineId !== null) {
    return `machine id ${now.machineId ?? "not told"}, not ${before.machineId}`;
  }
  if (before.hostKey !== now.hostKey && before.hostKey !== null) {
    return `host key ${now.hostKey ?? "not told"}, not ${before.hostKey}`;
  }
  return null;
}

const not = (reason: string): HomeProof => ({ proved: false, strength: "none", reason });
const weak = (reason: string): HomeProof => ({ proved: true, strength: "weak", reason });
const silentAsBefore = (now: HomeAnswer): HomeProof => ({
  proved: true,
  strength: "none",
  reason: `${now.check} is as silent as before departure.`,
});

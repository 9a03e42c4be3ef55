import { readPower } from "../src/control/boot-state.js";
import type { Power } from "../src/control/control.js";
import { known } from "../src/domain/reading.js";
import type { BootDiagnosis, PlannedWay, SitePlan } from "../src/domain/session.js";
import type { BootSnapshot, HomeAnswer } from "../src/domain/snapshot.js";
import type { SiteEntry } from "../src/site/entry.js";
import { wayOf } from "../src/ways/ways.js";
import type { Whereabouts } from "./contract.js";
import type { SiteDeps } from "./site.js";

/** Where the target is now, by its power, its own system's answers, and the agent's contact. */
export async function locate(
  deps: Pick<SiteDeps, "site" | "askHome">,
  power: Power,
  plan: SitePlan,
  snapshot: BootSnapshot,
): Promise<Whereabouts> {
  if ((await readPower(power)) === "Off") return "off";
  const answers = await Promise.all(plan.target.home.map(deps.askHome));
  if (answers.some((answer) => isHome(answer, snapshot.home))) return "home";
  // A port may belong to any machine: an answer without an identity does not outweigh the agent's hello.
  const boot = deps.site.entry(plan.target.name)?.boot;
  if (boot?.helloAt && !boot.revoked) return "image";
  return answers.some((answer) => speaksForHome(answer, snapshot.home)) ? "home" : "unknown";
}

/**
 * What runs where the image should, although the image's agent does not speak any more. `home`: the target's own system answers,
 * or was seen. `perhaps`: the image has ended by itself (its boot was revoked, or its lease is over). `mute`: nothing is heard; an
 * image may have been reset, whatever it fetched and said before, and its own system may be on the way up, until that would have
 * answered. `image`: it would have; or the target is off.
 *
 * `muteMs`: for how long nothing was heard.
 */
export async function whatRuns(
  deps: Pick<SiteDeps, "site" | "askHome">,
  power: Power,
  plan: SitePlan,
  muteMs: number,
  unseen: boolean,
): Promise<"home" | "perhaps" | "mute" | "image"> {
  if ((await readPower(power)) === "Off") return "image";
  const entry = deps.site.entry(plan.target.name);
  if (entry?.ledger.ownSystemSeenAt) return "home";
  const before = entry?.snapshot?.home ?? [];
  const answers = await Promise.all(plan.target.home.map(deps.askHome));
  if (answers.some((answer) => speaksForHome(answer, before))) return "home";
  if (!unseen && hasEnded(entry)) return "perhaps";
  return mayYetAnswer(plan, entry?.snapshot ?? null, Math.min(muteMs, sinceLeaseMs(entry))) ? "mute" : "image";
}

/** How long ago the lease of an image that spoke ended, which then reset its machine; without end where it holds, or never spoke. */
function sinceLeaseMs(entry: SiteEntry | null): number {
  const until = entry?.boot?.helloAt ? entry.ledger.leaseUntil : null;
  const ms = until === null || until === undefined ? 0 : Date.now() - Date.parse(until);
  return ms > 0 ? ms : Number.POSITIVE_INFINITY;
}

/** Whether the image of the entry's boot has ended by itself. One that never said hello, in an arming that still stands, has not. */
function hasEnded(entry: SiteEntry | null): boolean {
  const boot = entry?.boot ?? null;
  if (!entry || !boot || boot.revoked) return true;
  const { leaseUntil } = entry.ledger;
  return boot.helloAt !== null && leaseUntil !== null && Date.parse(leaseUntil) <= Date.now();
}

/** Its silence says something only of a system that answers at all, and only when its time to come up is over. */
function mayYetAnswer(plan: SitePlan, snapshot: BootSnapshot | null, onForMs: number): boolean {
  const couldAnswer =
    snapshot?.state.power === "Off" ? plan.target.home.length > 0 : snapshot?.home.some((answer) => answer.answered);
  return !couldAnswer || onForMs < plan.limits.homeMs;
}

/** The same machine as before departure, by its own word. */
const isHome = (answer: HomeAnswer, before: HomeAnswer[]): boolean =>
  answer.answered && answer.machineId !== null && before.some((b) => b.machineId === answer.machineId);

/** An answer speaks for home unless it comes from another machine than the one that answered before. */
function speaksForHome(answer: HomeAnswer, before: HomeAnswer[]): boolean {
  if (!answer.answered) return false;
  const known = before.find((b) => b.check === answer.check && b.answered);
  if (known?.machineId && answer.machineId) return known.machineId === answer.machineId;
  return true;
}

/** Why a boot by this way made no contact: what of it was seen, in one sentence that says where to look. */
export async function diagnose(
  deps: Pick<SiteDeps, "site" | "askHome">,
  power: Power,
  plan: SitePlan,
  { via }: PlannedWay,
): Promise<BootDiagnosis> {
  const state = await readPower(power);
  const contacts = deps.site.contacts(plan.target.name);
  const answers = state === "On" ? await Promise.all(plan.target.home.map(deps.askHome)) : [];
  const homeAnswering = answers.some((answer) => answer.answered);
  const bootProgress = state === "On" ? known(await power.progress()) : null;
  const seen = { power: state, ...contacts, homeAnswering, bootProgress };
  return { via, ...seen, summary: wayOf(via).diagnose(seen) };
}

import type { TargetControl } from "../src/control/control.js";
import type { BootDiagnosis, SessionPlan } from "../src/domain/session.js";
import type { BootSnapshot, HomeAnswer } from "../src/domain/snapshot.js";
import type { Whereabouts } from "./contract.js";
import type { SiteDeps } from "./site.js";

/** Where the target is now, by its power, its own system's answers, and the agent's contact. */
export async function locate(
  deps: Pick<SiteDeps, "site" | "askHome">,
  control: TargetControl,
  plan: SessionPlan,
  snapshot: BootSnapshot,
): Promise<Whereabouts> {
  if ((await control.power()) === "Off") return "off";
  const answers = await Promise.all(plan.target.home.map(deps.askHome));
  if (answers.some((answer) => speaksForHome(answer, snapshot.home))) return "home";
  const boot = deps.site.entry(plan.target.name)?.boot;
  return boot?.helloAt && !boot.revoked ? "image" : "unknown";
}

/** An answer speaks for home unless it comes from another machine than the one that answered before. */
function speaksForHome(answer: HomeAnswer, before: HomeAnswer[]): boolean {
  if (!answer.answered) return false;
  const known = before.find((b) => b.check === answer.check && b.answered);
  if (known?.machineId && answer.machineId) return known.machineId === answer.machineId;
  return true;
}

/** Why a boot made no contact: what of it was seen, in one sentence that says where to look. */
export async function diagnose(
  deps: Pick<SiteDeps, "site" | "askHome">,
  control: TargetControl,
  plan: SessionPlan,
): Promise<BootDiagnosis> {
  const power = await control.power();
  const contacts = deps.site.contacts(plan.target.name);
  const answers = power === "On" ? await Promise.all(plan.target.home.map(deps.askHome)) : [];
  const homeAnswering = answers.some((answer) => answer.answered);
  const bootProgress = power === "On" ? await control.bootProgress() : null;
  const seen = { power, ...contacts, homeAnswering, bootProgress };
  return { ...seen, summary: plan.via === "virtual-media" ? summaryOfMedium(seen) : summaryOf(seen) };
}

function summaryOf(seen: Omit<BootDiagnosis, "summary">): string {
  if (seen.power === "Off") return "it is off; it was turned off, or turned itself off, during the boot.";
  if (seen.homeAnswering) {
    return seen.scriptFetched
      ? "its own system runs; it fetched the boot script and then went on to its disk."
      : "its own system runs; the boot override was ignored, or the network boot failed before it reached the boot server.";
  }
  if (!seen.scriptFetched) {
    return "it never asked for its boot script; look at its DHCP, its cabling, and whether its firmware can boot from the network.";
  }
  if (!seen.kernelFetched) return "it fetched its boot script, but not the kernel; look at its console.";
  if (!seen.initrdFetched) return "it fetched the kernel, but not the initrd; look at its console.";
  return "it fetched the whole image, but its agent did not call; look at its console, and whether it reaches the TLS listener.";
}

/**
 * The same for a medium. A BMC that streams has read what the firmware has read; one that copies the medium when it is inserted
 * has read all of it whatever the firmware did.
 */
function summaryOfMedium(seen: Omit<BootDiagnosis, "summary">): string {
  if (seen.power === "Off") return "it is off; it was turned off, or turned itself off, during the boot.";
  if (seen.homeAnswering) {
    return "its own system runs; the boot override was ignored, or its firmware could not boot from the virtual CD.";
  }
  if (!seen.scriptFetched) {
    return "its BMC never read the medium; look at whether it reaches PITSTOP_SITE_BMC_URL and trusts its certificate.";
  }
  if (!seen.initrdFetched) {
    return "its BMC read the medium, but not to the end of the image; look at its console, and at how fast the BMC reads.";
  }
  return "its BMC read the whole medium, but the image's agent did not call; look at its console, and whether it reaches the TLS listener.";
}

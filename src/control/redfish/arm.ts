import { PitstopError } from "../../domain/errors.js";
import { isKnown } from "../../domain/reading.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { Armed, BootChoice } from "../control.js";
import { bootListOf, inBoot, type Look, type Machine } from "./machine.js";
import { canWriteMode, ensureOverride, modeOf } from "./override.js";
import { ENABLED_VALUES, hasOverride, MODES, readOverride, sameOverride, TARGETS, URI } from "./override-state.js";
import { restoreOverride } from "./restore-override.js";
import { remedyBut, targetsOf } from "./ways.js";

/** What an arming asks for, and by which words of the service. */
interface Plan {
  wanted: BootOverride;
  hasOnce: boolean;
  /** The owner allows a lasting override. */
  isLastingAllowed: boolean;
  mayLast: boolean;
}

/** `arm` ensures that the next boot is `choice`, once where the BMC can; see NextBoot.arm. */
export async function arm(machine: Machine, choice: BootChoice, hasDrive: () => Promise<boolean>): Promise<Armed> {
  const look = await machine.lookToChange();
  const { wanted, hasOnce, isLastingAllowed, mayLast } = await planned(machine, look, choice, hasDrive);
  if (hasOnce) {
    try {
      return await armOnce(machine, look, wanted, isLastingAllowed);
    } catch (error) {
      const isFinal = error instanceof PitstopError && error.facts.lasting === true;
      if (!mayLast || isFinal || !(error instanceof PitstopError) || error.code !== "refused") throw error;
    }
  }
  return await ensureOverride(machine, { ...wanted, enabled: "Continuous" });
}

/** `refuseMediaBoot` stands before a medium is inserted: what the override cannot boot is not inserted. Errors: `refused`. */
export async function refuseMediaBoot(machine: Machine, hasDrive: () => Promise<boolean>): Promise<void> {
  const look = await machine.look();
  if (!isKnown(readOverride(look)) && !hasOverride(look)) {
    throw new PitstopError(
      "refused",
      `${machine.target.name} has no boot override, so it boots by pxe alone; give pxe in boot.via.`,
    );
  }
  await planned(machine, look, { via: "virtual-media" }, hasDrive);
}

/** Everything that can be refused by what the service shows is refused here, before anything is written. */
async function planned(
  machine: Machine,
  look: Look,
  choice: BootChoice,
  hasDrive: () => Promise<boolean>,
): Promise<Plan> {
  const wanted: BootOverride = {
    enabled: "Once",
    target: await targetFor(machine, look, choice, hasDrive),
    mode: modeFor(machine, look),
    httpBootUri: choice.via === "uefi-http" ? choice.uri : null,
  };
  const can = bootListOf(look, ENABLED_VALUES) ?? machine.dialect.enabledValues;
  const isLastingAllowed = machine.target.boot.allow.includes("continuous-override");
  const plan: Plan = {
    wanted,
    hasOnce: can.includes("Once"),
    isLastingAllowed,
    mayLast: isLastingAllowed && can.includes("Continuous"),
  };
  if (plan.hasOnce || plan.mayLast) return plan;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC has no one-time boot override; allow a lasting one with continuous-override in boot.allow, ` +
      "where each boot asks the network first until the session has disarmed it.",
  );
}

/** Some BMCs take Once and keep it for good: then the opt-in decides, and without it the override is put back. */
async function armOnce(machine: Machine, look: Look, wanted: BootOverride, allowed: boolean): Promise<Armed> {
  const before = readOverride(look);
  const lasting: BootOverride = { ...wanted, enabled: "Continuous" };
  const accepts = (after: BootOverride) => sameOverride(wanted, after) || sameOverride(lasting, after);
  const armed = await ensureOverride(machine, wanted, { accepts });
  if (!sameOverride(lasting, armed.override)) return armed;
  const turned = `${machine.target.name}'s BMC turns a one-time boot override into a lasting one`;
  if (allowed) return { ...armed, notes: [...armed.notes, `${turned}; the session disarms it on its way home.`] };
  if (isKnown(before)) await restoreOverride(machine, before);
  throw new PitstopError(
    "refused",
    `${turned}; allow that with continuous-override in boot.allow, where each boot asks the network first until the session has disarmed it.`,
    { facts: { lasting: true } },
  );
}

/** The document's firmware, checked against what the service lists. */
function modeFor(machine: Machine, look: Look): BootOverride["mode"] {
  const mode = modeOf(machine);
  const listed = bootListOf(look, MODES);
  if (listed === null || listed.includes(mode) || !canWriteMode(machine, look)) return mode;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC boots ${listed.join(", ")} and not ${mode}; correct boot.firmware, or its firmware's setup.`,
  );
}

async function targetFor(
  machine: Machine,
  look: Look,
  choice: BootChoice,
  hasDrive: () => Promise<boolean>,
): Promise<string> {
  const wanted = targetsOf(machine)[choice.via];
  const offered = bootListOf(look, TARGETS);
  const target = offered === null ? wanted[0] : wanted.find((one) => offered.includes(one));
  const { name } = machine.target;
  if (target === undefined) {
    throw new PitstopError(
      "refused",
      `${name}'s BMC cannot boot ${choice.via} by override (it offers ${offered?.join(", ")}); ` +
        `${await remedyBut(choice.via, machine, look, hasDrive)}.`,
    );
  }
  // The address has nowhere else to go: armed without it, the machine would ask whatever DHCP names.
  if (choice.via === "uefi-http" && !inBoot(look, URI)) {
    throw new PitstopError(
      "refused",
      `${name}'s BMC offers UefiHttp but has no HttpBootUri for the image's address; ` +
        `${await remedyBut(choice.via, machine, look, hasDrive)}.`,
    );
  }
  return target;
}

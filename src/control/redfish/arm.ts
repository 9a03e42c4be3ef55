import { PitstopError } from "../../domain/errors.js";
import { isKnown } from "../../domain/reading.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { Armed, BootChoice } from "../control.js";
import { bootListOf, inBoot, type Look, type Machine } from "./machine.js";
import { canWriteMode, ensureOverride, modeOf } from "./override.js";
import { ENABLED_VALUES, MODES, readOverride, sameOverride, TARGETS, URI } from "./override-state.js";

/** `arm` ensures that the next boot is `choice`, once where the BMC can; see NextBoot.arm. */
export async function arm(machine: Machine, choice: BootChoice): Promise<Armed> {
  const look = await machine.lookToChange();
  const wanted: BootOverride = {
    enabled: "Once",
    target: targetFor(machine, look, choice),
    mode: modeFor(machine, look),
    httpBootUri: choice.via === "uefi-http" ? choice.uri : null,
  };
  const can = bootListOf(look, ENABLED_VALUES) ?? machine.dialect.enabledValues;
  const allowed = machine.target.boot.allow.includes("continuous-override");
  const mayContinue = allowed && can.includes("Continuous");
  if (can.includes("Once")) {
    try {
      return await armOnce(machine, look, wanted, allowed);
    } catch (error) {
      const isFinal = error instanceof PitstopError && error.facts.lasting === true;
      if (!mayContinue || isFinal || !(error instanceof PitstopError) || error.code !== "refused") throw error;
    }
  }
  if (mayContinue) return await ensureOverride(machine, { ...wanted, enabled: "Continuous" });
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
  if (isKnown(before)) await ensureOverride(machine, before);
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

/** The override targets that do what a way asks, best first. */
const targetsOf = (machine: Machine): Record<BootChoice["via"], readonly string[]> => ({
  pxe: ["Pxe"],
  "uefi-http": ["UefiHttp"],
  "virtual-media": machine.dialect.mediaTargets,
});

const waysOffered = (machine: Machine, offered: string[]): string[] =>
  Object.entries(targetsOf(machine))
    .filter(([, targets]) => targets.some((one) => offered.includes(one)))
    .map(([via]) => via);

function targetFor(machine: Machine, look: Look, choice: BootChoice): string {
  const wanted = targetsOf(machine)[choice.via];
  const offered = bootListOf(look, TARGETS);
  const target = offered === null ? wanted[0] : wanted.find((one) => offered.includes(one));
  const { name } = machine.target;
  if (target === undefined) {
    const others = waysOffered(machine, offered ?? []);
    const remedy = others.length > 0 ? `give ${others.join(" or ")} in boot.via` : "update the BMC's firmware";
    throw new PitstopError(
      "refused",
      `${name}'s BMC cannot boot ${choice.via} by override (it offers ${offered?.join(", ")}); ${remedy}.`,
    );
  }
  // The address has nowhere else to go: armed without it, the machine would ask whatever DHCP names.
  if (choice.via === "uefi-http" && !inBoot(look, URI)) {
    throw new PitstopError(
      "refused",
      `${name}'s BMC offers UefiHttp but has no HttpBootUri for the image's address; give pxe or virtual-media in boot.via, or update its firmware.`,
    );
  }
  return target;
}

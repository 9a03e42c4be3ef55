import { PitstopError } from "../domain/errors.js";
import { ABSENT, isAbsent, isKnown, isUnreadable, type Reading, unreadable } from "../domain/reading.js";
import type { BootState, PowerState } from "../domain/snapshot.js";
import type { Capabilities, Comparison, Power, Section } from "./control.js";

/** The sections of the boot snapshot, in the order in which people are told of them. */
const SECTIONS = ["power", "override", "bootOrder", "media", "secureBoot"] as const;
type SectionName = (typeof SECTIONS)[number];

const IN_WORDS: Record<SectionName, string> = {
  power: "power state",
  override: "boot override",
  bootOrder: "boot order",
  media: "virtual media",
  secureBoot: "Secure Boot state",
};

/** The capability that owns a section. Its values are its own business. */
function ownerOf(can: Capabilities, name: SectionName): Section<unknown> | null {
  const owners: Record<SectionName, unknown> = {
    power: can.power,
    override: can.nextBoot,
    bootOrder: can.bootOrder,
    media: can.media,
    secureBoot: can.secureBoot,
  };
  return owners[name] as Section<unknown> | null;
}

/** `captureBootState` reads every section afresh. Errors: `unreachable`, `unauthorized`. */
export async function captureBootState(can: Capabilities): Promise<BootState> {
  const readAt = new Date().toISOString();
  // Alone and first: where the power is read, the next sections have what that request showed.
  const power = await readingBy(can.power);
  const [override, bootOrder, media, secureBoot] = await Promise.all([
    readingBy(can.nextBoot),
    readingBy(can.bootOrder),
    readingBy(can.media),
    readingBy(can.secureBoot),
  ]);
  return { readAt, control: can.kind, power, override, bootOrder, media, secureBoot };
}

async function readingBy<T>(owner: Section<T> | null): Promise<Reading<T>> {
  return owner === null ? ABSENT : await owner.read();
}

/** `compareBootStates` lists what is not as it was (promise 7). A section that either side could not read never compares equal. */
export function compareBootStates(can: Capabilities, before: BootState, after: BootState): Comparison {
  const all = SECTIONS.map((name): Comparison => {
    const [was, is] = [before[name], after[name]];
    const owner = ownerOf(can, name);
    if (isKnown(was) && isKnown(is) && owner !== null) return owner.compare(was, is);
    if (isAbsent(was) && isAbsent(is)) return { differences: [], added: [] };
    return { differences: [{ field: name, before: was, after: is }], added: [] };
  });
  return { differences: all.flatMap((one) => one.differences), added: all.flatMap((one) => one.added) };
}

/**
 * `restoreBootState` puts the sections back that a session may have changed. The medium leaves first, while the target is off;
 * a drive that sticks must not leave the target armed. A boot order that stays wrong is a note: the comparison at home decides.
 */
export async function restoreBootState(can: Capabilities, before: BootState, unsure: boolean): Promise<string[]> {
  const notes: string[] = [];
  const stuck = await refusalOf(async () => {
    if (isKnown(before.media)) await still(can.media, "media").restore(before.media);
  });
  if (isKnown(before.override)) {
    const nextBoot = still(can.nextBoot, "override");
    notes.push(...(await nextBoot.restore(before.override, unsure)));
  }
  const order = await refusalOf(async () => {
    if (isKnown(before.bootOrder)) notes.push(...(await still(can.bootOrder, "bootOrder").restore(before.bootOrder)));
  });
  if (stuck !== null) throw stuck;
  return order === null ? notes : [...notes, order.message];
}

/** A control that had a section at the capture, and does not show it now, is asked again later. */
function still<T>(owner: T | null, name: SectionName): T {
  if (owner !== null) return owner;
  throw new PitstopError(
    "unreachable",
    `The control no longer shows the target's ${IN_WORDS[name]}, which it showed before departure; it may be starting.`,
  );
}

/** `refuseUnreadable` ends a session before its first write: what nobody could read, nobody can put back. */
export function refuseUnreadable(name: string, state: BootState): void {
  if (isUnreadable(state.power)) throw new PitstopError("unreachable", state.power.unreadable);
  const bad = SECTIONS.find((section) => isUnreadable<unknown>(state[section]));
  if (bad === undefined) return;
  const why = (state[bad] as { unreadable: string }).unreadable;
  throw new PitstopError(
    "refused",
    `The ${IN_WORDS[bad]} of ${name} cannot be read (${why}), so it could not be put back; ` +
      "nothing was changed. Reset its BMC or update its firmware, and start again.",
  );
}

/** `pendingIn` tells what somebody else left in a section that the next boot would use; null: nothing. */
export function pendingIn(can: Capabilities, state: BootState, name: "override" | "media"): string | null {
  const reading: Reading<unknown> = state[name];
  return isKnown(reading) ? (ownerOf(can, name)?.pending(reading) ?? null) : null;
}

/** `powerOf` gives the control of the power. Errors: `refused` where there is none. */
export function powerOf(can: Capabilities): Power {
  if (can.power !== null) return can.power;
  throw new PitstopError(
    "refused",
    `The ${can.kind} control cannot read or change the target's power; name a control that can in control.`,
  );
}

/** `readPower` reads the power now. Errors: `unreachable` where the control does not say; a later reading may. */
export async function readPower(power: Section<PowerState>): Promise<PowerState> {
  const reading = await power.read();
  if (isKnown(reading)) return reading;
  throw new PitstopError(
    "unreachable",
    isUnreadable(reading) ? reading.unreadable : "The control does not tell the target's power; it may be starting.",
  );
}

/** `readingFrom` turns a refusal of one section into an unreadable reading; silence stays an error, which passes. */
export async function readingFrom<T>(read: () => Promise<Reading<T>>): Promise<Reading<T>> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof PitstopError && error.code === "refused" && error.facts.identity !== true) {
      return unreadable(error.message);
    }
    throw error;
  }
}

async function refusalOf(work: () => Promise<unknown>): Promise<PitstopError | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof PitstopError && error.code === "refused" && error.facts.identity !== true) return error;
    throw error;
  }
}

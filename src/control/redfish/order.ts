import { PitstopError } from "../../domain/errors.js";
import { ABSENT, isKnown, type Reading, unreadable } from "../../domain/reading.js";
import type { BootOrderEntry } from "../../domain/snapshot.js";
import type { Comparison } from "../control.js";
import { followTask } from "./later.js";
import { hasProperty, type Look, type Machine } from "./machine.js";
import { patchBoot } from "./patch.js";
import { BootOption } from "./resources.js";

const ORDER = "BootOrder";
const DID = "the change of its boot order";
/** A task that ends at once is waited for; one that waits for the next boot is not. Milliseconds. */
const TASK_MS = 10_000;

/** The order as the system shows it, else as its settings resource does; undefined where neither has one. */
function shownOrder({ system, settings }: Look): unknown {
  const boots = settings === null ? [system.Boot] : [system.Boot, settings.boot];
  return boots
    .map(({ raw }) => (raw as Record<string, unknown> | null | undefined)?.[ORDER])
    .find((one) => one != null);
}

/** `hasBootOrder` tells whether the machine shows a boot order at all. */
export const hasBootOrder = (look: Look): boolean => shownOrder(look) !== undefined;

/** `readBootOrder` reads the order with the entries' names and device paths. */
export async function readBootOrder(machine: Machine, look: Look): Promise<Reading<BootOrderEntry[]>> {
  const shown = shownOrder(look);
  if (shown === undefined) return ABSENT;
  if (!Array.isArray(shown) || shown.some((one) => typeof one !== "string")) {
    return unreadable("Boot.BootOrder is not a list of texts");
  }
  const references = look.system.Boot.BootOrder ?? look.settings?.boot.BootOrder ?? null;
  if (references === null || references.length !== shown.length) {
    return unreadable("Boot.BootOrder has more, or longer, entries than Pitstop reads");
  }
  const link = look.system.Boot.BootOptions ?? look.settings?.boot.BootOptions ?? null;
  if (references.length === 0 || link === null) return references.map(nameless);
  const options = (await machine.client.members(link, machine.dialect.parentFirst)).map((body) =>
    BootOption.parse(body),
  );
  return references.map((reference) => {
    const option = options.find((one) => (one.BootOptionReference ?? one.Id) === reference);
    if (option === undefined) return nameless(reference);
    return { reference, name: option.DisplayName ?? option.Name, devicePath: option.UefiDevicePath };
  });
}

const nameless = (reference: string): BootOrderEntry => ({ reference, name: null, devicePath: null });

/**
 * `keysOf` says what each entry is: its device path, else its name, else its reference, never its Boot#### number alone. Entries that
 * share a device path, in either list, are told apart by their names, and those that share a name too by their turn.
 */
export function keysOf(entries: BootOrderEntry[], other: BootOrderEntry[]): string[] {
  const shared = new Set([...sharedPaths(entries), ...sharedPaths(other)]);
  const counts = new Map<string, number>();
  return entries.map(({ reference, name, devicePath }) => {
    const path = devicePath === null || !shared.has(devicePath) ? devicePath : `${devicePath} (${name ?? reference})`;
    const key = path ?? name ?? reference;
    const turn = (counts.get(key) ?? 0) + 1;
    counts.set(key, turn);
    return turn === 1 ? key : `${key} #${turn}`;
  });
}

const sharedPaths = (entries: BootOrderEntry[]): string[] => {
  const paths = entries.map((entry) => entry.devicePath).filter((path) => path !== null);
  return paths.filter((path, index) => paths.indexOf(path) !== index);
};

/** `compareBootOrders` compares the entries of before; those that came since are added ones, wherever they stand. */
export function compareBootOrders(before: BootOrderEntry[], after: BootOrderEntry[]): Comparison {
  const [was, is] = [keysOf(before, after), keysOf(after, before)];
  const known = new Set(was);
  const kept = is.filter((key) => known.has(key));
  const added = is.filter((key) => !known.has(key));
  const isSame = JSON.stringify(was) === JSON.stringify(kept);
  return { differences: isSame ? [] : [{ field: "bootOrder", before: was, after: kept }], added };
}

/** Words of firmware for an entry that boots from the network, in its name, its reference or its device path. */
const NETWORK = /pxe|http|network|\blan\b|\bnic\b|ethernet|ip ?v?[46]|\bMAC\(/i;

/** `bootsFromNetwork` tells whether an entry boots from the network, by what firmware calls it. */
export const bootsFromNetwork = ({ reference, name, devicePath }: BootOrderEntry): boolean =>
  [reference, name, devicePath].some((text) => text !== null && NETWORK.test(text));

/**
 * `restoreBootOrder` ensures the order of the snapshot's entries; entries that came since go to the end. A change that the BMC
 * takes for its next boot gives a note. Errors: `refused` where the firmware undid it, or an entry is gone.
 */
export async function restoreBootOrder(machine: Machine, to: BootOrderEntry[]): Promise<string[]> {
  if (to.length === 0) return [];
  const look = await machine.lookToChange();
  const reading = await readBootOrder(machine, look);
  if (!isKnown(reading)) {
    const why = "unreadable" in reading ? reading.unreadable : "it shows none";
    throw new PitstopError("unreachable", `The boot order of ${machine.target.name} cannot be read now (${why}).`);
  }
  const wanted = keysOf(to, reading);
  const keys = keysOf(reading, to);
  const at = (key: string): number => keys.indexOf(key);
  const here = wanted.filter((key) => at(key) >= 0);
  const isNow = keys.filter((key) => here.includes(key));
  const notes: string[] = [];
  if (JSON.stringify(isNow) !== JSON.stringify(here)) {
    const added = keys.filter((key) => !here.includes(key));
    const order = [...here, ...added].flatMap((key) => reading[at(key)] ?? []);
    notes.push(...(await write(machine, look, order)));
  }
  const gone = wanted.filter((key) => at(key) < 0);
  if (gone.length === 0) return notes;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s boot order no longer has ${gone.join(", ")}; put it back in the firmware's setup, or with efibootmgr.`,
  );
}

async function write(machine: Machine, look: Look, order: BootOrderEntry[]): Promise<string[]> {
  const references = order.map((entry) => entry.reference);
  const { later } = await patchBoot(machine, look, { BootOrder: references }, isInSettings(look));
  if (later !== null) await followTask(machine, later, DID, TASK_MS);
  const after = await machine.lookAgain();
  if (shows(after.system.Boot.BootOrder, references)) return [];
  const isPending = later !== null || shows(after.settings?.boot.BootOrder ?? null, references);
  if (isPending)
    return [`${machine.target.name}'s BMC took the boot order; it applies at the next boot and is compared after it.`];
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s firmware undid the boot order that was written; put it right in its setup.`,
  );
}

const shows = (list: string[] | null, references: string[]): boolean =>
  JSON.stringify(list) === JSON.stringify(references);

const isInSettings = ({ settings }: Look): boolean => settings !== null && hasProperty(settings.boot, ORDER);

import { PitstopError } from "../../domain/errors.js";
import { type BootOrderEntry, bootOrderKey } from "../../domain/snapshot.js";
import type { Look, Machine } from "./machine.js";
import { patchBoot } from "./patch.js";
import { BootOption } from "./resources.js";

const orderOf = ({ system, settings }: Look): string[] => system.Boot.BootOrder ?? settings?.boot.BootOrder ?? [];

/** The boot order with the entries' names and device paths; empty where the service has none. */
export async function readBootOrder(machine: Machine, look: Look): Promise<BootOrderEntry[]> {
  const references = orderOf(look);
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

/** Ensures the order of the snapshot's entries, by what they are; entries that came since keep their place at the end. */
export async function restoreBootOrder(machine: Machine, to: BootOrderEntry[]): Promise<void> {
  if (to.length === 0) return;
  const look = await machine.lookToChange();
  const now = await readBootOrder(machine, look);
  const wantedKeys = to.map(bootOrderKey);
  const left = [...now];
  const known = wantedKeys.flatMap((key) => {
    const at = left.findIndex((entry) => bootOrderKey(entry) === key);
    return at < 0 ? [] : left.splice(at, 1);
  });
  const isNow = now.filter((entry) => !left.includes(entry));
  if (!sameKeys(isNow, known)) await write(machine, look, [...known, ...left]);
  const gone = wantedKeys.filter((key) => !known.some((entry) => bootOrderKey(entry) === key));
  if (gone.length === 0) return;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s boot order no longer has ${gone.join(", ")}; put it back in the firmware's setup, or with efibootmgr.`,
  );
}

async function write(machine: Machine, look: Look, order: BootOrderEntry[]): Promise<void> {
  const references = order.map((entry) => entry.reference);
  const inSettings = (look.settings?.boot.BootOrder ?? null) !== null;
  await patchBoot(machine, look, { BootOrder: references }, inSettings);
  const after = await machine.lookAgain();
  const shown = [after.system.Boot.BootOrder, after.settings?.boot.BootOrder];
  if (shown.some((list) => JSON.stringify(list) === JSON.stringify(references))) return;
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s firmware undid the boot order that was written; put it right in its setup.`,
  );
}

const sameKeys = (a: BootOrderEntry[], b: BootOrderEntry[]): boolean =>
  JSON.stringify(a.map(bootOrderKey)) === JSON.stringify(b.map(bootOrderKey));

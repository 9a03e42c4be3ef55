import { isRetryable, PitstopError } from "../../domain/errors.js";
import { isKnown } from "../../domain/reading.js";
import type { BootOverride } from "../../domain/snapshot.js";
import type { Armed } from "../control.js";
import type { JsonObject } from "../json.js";
import { namesIn } from "./faults.js";
import { followTask, type Later } from "./later.js";
import { bootListOf, hasProperty, inBoot, type Look, type Machine } from "./machine.js";
import {
  bootThatCounts,
  ENABLED,
  judged,
  MODE,
  MODES,
  namedTarget,
  otherMode,
  PROPERTIES,
  readOverride,
  sameOverride,
  TARGET,
  TARGETS,
  URI,
} from "./override-state.js";
import { patchBoot } from "./patch.js";
import type { Boot } from "./resources.js";

/** Some services answer a change before they show it. Milliseconds. */
const READ_BACK_PAUSES_MS = [300, 1_000, 2_000];
/** A BMC that took a change and shows its old state shows the new one after so long: what field reports tell of takes seconds. */
const OLD_READING_MS = 15_000;
/** A task that ends at once is waited for; one that waits for the next boot is not. Milliseconds. */
const TASK_MS = 10_000;

export interface EnsureOverrideOptions {
  /**
   * A write of ours was not seen done, and what is read may be from before it: so it is written whatever is read, where the
   * service takes that, and read again when no reading can be that old any more.
   */
  unsure?: boolean;
  /** Whether what is read back after a write will do; exactly what is wanted by default. */
  accepts?: (after: BootOverride) => boolean;
}

/** `ensureOverride` reads, writes only a difference, and reads back. What the BMC took for later is believed, with a note. */
export async function ensureOverride(
  machine: Machine,
  asked: BootOverride,
  { unsure = false, accepts }: EnsureOverrideOptions = {},
): Promise<Armed> {
  const wanted = judged(asked);
  const isDone = accepts ?? ((after: BootOverride) => sameOverride(wanted, after));
  const look = await machine.lookToChange();
  const before = overrideOf(machine, look);
  const wasSo = sameOverride(wanted, before);
  if (wasSo && unsure) {
    await writeAgain(machine, look, wanted);
    await machine.sleep(OLD_READING_MS);
    return await ensureOverride(machine, wanted);
  }
  if (wasSo && !losesMode(machine, look, wanted, before))
    return { override: before, notes: modeNotes(machine, wanted, before) };
  const sent = await write(machine, look, wanted, bootThatCounts(look));
  if (sent.refusal !== null && !readBackDecides(machine, sent.refusal)) {
    // Only the boot mode was to be put back: the comparison at home tells what stays of it.
    if (wasSo && sent.refusal.code === "refused")
      return { override: before, notes: modeNotes(machine, wanted, before) };
    throw sent.refusal;
  }
  const pausesMs = sent.refusal === null ? READ_BACK_PAUSES_MS : [];
  const after = await readBack(machine, isDone, pausesMs);
  if (sent.refusal !== null && !sameOverride(before, after)) machine.client.writes++;
  if (isDone(after)) return { override: after, notes: modeNotes(machine, wanted, after) };
  if (sent.refusal !== null) throw sent.refusal;
  if (sent.later !== null) return await believed(machine, wanted, isDone, sent.later);
  throw new PitstopError(
    "refused",
    `${machine.target.name}'s BMC took the boot override ${inWords(wanted)} and still shows ${inWords(after)}; ` +
      "it ignores overrides. Update its firmware, or boot the target another way.",
  );
}

/** A change that the BMC took for later: its task may end at once, else the next boot shows what became of it. */
async function believed(
  machine: Machine,
  wanted: BootOverride,
  isDone: (after: BootOverride) => boolean,
  later: Later,
): Promise<Armed> {
  if ((await followTask(machine, later, "the change of its boot settings", TASK_MS)) === "done") {
    const after = overrideOf(machine, await machine.lookAgain());
    if (isDone(after)) return { override: after, notes: [] };
  }
  const note = `${machine.target.name}'s BMC took the boot override ${inWords(wanted)} for its next boot and does not show it yet.`;
  return { override: wanted, notes: [note] };
}

/** A service that refuses a change to what it shows already has nothing of ours hidden; one that may take it later is asked again. */
async function writeAgain(machine: Machine, look: Look, wanted: BootOverride): Promise<void> {
  const { refusal } = await write(machine, look, wanted, null);
  if (refusal !== null && isRetryable(refusal.code)) throw refusal;
}

interface Sent {
  refusal: PitstopError | null;
  later: Later | null;
}

/** `write` sends the change, and once more with the properties that the refusal misses. `is`: what the service shows; null: unknown. */
async function write(machine: Machine, look: Look, wanted: BootOverride, is: Boot | null): Promise<Sent> {
  const body = bodyFor(machine, look, wanted, is);
  const first = await sent(patchBoot(machine, look, body, isInSettings(look)));
  if (first.refusal === null) return first;
  const all = propertiesFor(machine, look, wanted, true);
  const missing = namesIn(first.refusal.facts.answer, PROPERTIES).filter((name) => !(name in body) && name in all);
  if (missing.length === 0) return first;
  const more = Object.fromEntries(missing.map((name) => [name, all[name]]));
  const again = await machine.lookToChange();
  return await sent(patchBoot(machine, again, { ...body, ...more }, isInSettings(again)));
}

async function sent(work: Promise<{ later: Later | null }>): Promise<Sent> {
  try {
    return { refusal: null, later: (await work).later };
  } catch (error) {
    if (error instanceof PitstopError && error.code !== "unauthorized" && error.facts.identity !== true) {
      return { refusal: error, later: null };
    }
    throw error;
  }
}

/** The override lives in the settings resource where that has any of it. */
export const isInSettings = ({ settings }: Look): boolean =>
  settings !== null && PROPERTIES.some((name) => hasProperty(settings.boot, name));

/** Whether the boot mode must be written back although the override is disabled as it was. */
const losesMode = (machine: Machine, look: Look, wanted: BootOverride, before: BootOverride): boolean =>
  wanted.enabled === "Disabled" && otherMode(wanted, before) && canWriteMode(machine, look);

const modeNotes = (machine: Machine, wanted: BootOverride, after: BootOverride): string[] =>
  otherMode(wanted, after)
    ? [
        `${machine.target.name}'s BMC keeps the boot mode ${after.mode}, which was ${wanted.mode}; set it in the firmware's setup.`,
      ]
    : [];

/** The `Boot` object of the PATCH, as this machine wants it. */
export function bodyFor(machine: Machine, look: Look, wanted: BootOverride, is: Boot | null): JsonObject {
  const all = propertiesFor(machine, look, wanted, canWriteMode(machine, look));
  if (machine.dialect.overrideProperties === "all") return all;
  if (is === null) return { ...all, [ENABLED]: wanted.enabled };
  const shown = is as unknown as JsonObject;
  return Object.fromEntries(Object.entries(all).filter(([name, value]) => shown[name] !== value));
}

/** All properties of a change. A disabled override's target is None, else the snapshot's, else the one shown. */
function propertiesFor(machine: Machine, look: Look, wanted: BootOverride, withMode: boolean): JsonObject {
  const targets = bootListOf(look, TARGETS);
  const shown = bootThatCounts(look).BootSourceOverrideTarget;
  const none = machine.dialect.disarmTarget === "None" && (targets === null || targets.includes("None"));
  const kept = namedTarget(wanted.target) ?? shown;
  const target = wanted.enabled !== "Disabled" ? wanted.target : none ? "None" : kept;
  const mode = withMode ? (wanted.mode ?? listedMode(machine, look)) : null;
  return {
    [ENABLED]: wanted.enabled,
    ...(target === null ? {} : { [TARGET]: target }),
    ...(mode === null ? {} : { [MODE]: mode }),
    // Several services refuse a PATCH that names a URI which they will not use.
    ...(wanted.enabled !== "Disabled" && target === "UefiHttp" ? { [URI]: wanted.httpBootUri } : {}),
  };
}

/** A property that reads null but is there, or is listed, is writable, and some services want it with every change. */
export const canWriteMode = (machine: Machine, look: Look): boolean =>
  machine.dialect.overrideMode === "written" && inBoot(look, MODE);

/** The mode of the document's firmware. */
export const modeOf = (machine: Machine): "UEFI" | "Legacy" =>
  machine.target.boot.firmware === "uefi" ? "UEFI" : "Legacy";

/** The mode that the service shows, else the document's where the service lists it, else the first that it lists. */
function listedMode(machine: Machine, look: Look): string {
  const shown = bootThatCounts(look).BootSourceOverrideMode ?? look.system.Boot.BootSourceOverrideMode;
  const listed = bootListOf(look, MODES);
  const own = modeOf(machine);
  if (shown !== null && shown !== "" && (listed === null || listed.includes(shown))) return shown;
  return listed === null || listed.includes(own) ? own : (listed[0] ?? own);
}

/** The override as read now. Errors: `unreachable` where it means nothing; a later reading may. */
function overrideOf(machine: Machine, look: Look): BootOverride {
  const reading = readOverride(look);
  if (isKnown(reading)) return reading;
  const why = "unreadable" in reading ? reading.unreadable : "it shows none";
  throw new PitstopError(
    "unreachable",
    `The boot override of ${machine.target.name} cannot be read (${why}); it may be starting. Reset the BMC if this lasts.`,
  );
}

async function readBack(
  machine: Machine,
  isDone: (after: BootOverride) => boolean,
  pausesMs: readonly number[],
): Promise<BootOverride> {
  let after = overrideOf(machine, await machine.lookAgain());
  for (const ms of pausesMs) {
    if (isDone(after)) break;
    await machine.sleep(ms);
    after = overrideOf(machine, await machine.lookAgain());
  }
  return after;
}

const readBackDecides = (machine: Machine, refusal: PitstopError): boolean =>
  refusal.facts.socket !== undefined || (machine.dialect.refusal === "read-back-decides" && !isRetryable(refusal.code));

const inWords = (override: BootOverride): string =>
  override.enabled === "Disabled"
    ? "Disabled"
    : [override.enabled, override.target, override.mode, override.httpBootUri].filter((one) => one !== null).join(" ");

import { PitstopError } from "../../domain/errors.js";
import type { JsonObject } from "../json.js";
import { type Answer, faultOf, messagesOf } from "./faults.js";
import { type Later, laterOf } from "./later.js";
import type { Look, Machine } from "./machine.js";
import { sameLink } from "./resources.js";

/** What became of a change that the service took. `later`: it shows with the next boot, or when a task ends. */
export interface Taken {
  later: Later | null;
}

const DID = "the change of its boot settings";

/**
 * `patchBoot` changes the system's `Boot` object, in the settings resource where `inSettings` says so. A refusal that names another
 * resource below this system is obeyed once: from then on that one is the settings resource.
 *
 * Throws the refusal, with the BMC's answer as the fact `answer`; whether the change took effect is the caller's to read back.
 */
export async function patchBoot(machine: Machine, look: Look, boot: JsonObject, inSettings: boolean): Promise<Taken> {
  const answer = await climb(machine, look, boot, inSettings);
  if (answer.status < 400) return { later: laterOf(machine, answer) };
  const place = placeNamed(machine, [pathFor(machine, look, inSettings), systemPath(machine, look)], answer);
  if (place === null) throw refusalOf(machine, answer);
  const moved = isBelow(place, systemPath(machine, look)) ? await machine.useSettings(place) : null;
  if (moved === null) throw elsewhere(machine, answer, place);
  const second = await climb(machine, moved, boot, true);
  if (second.status >= 400) throw refusalOf(machine, second);
  return { later: laterOf(machine, second) };
}

/**
 * BMCs differ in which entity tag they take, so `climb` goes down: strong, weak, none (RFC 9110, 13.1.1; on 412 and 428). Before it
 * leaves the tag out it has read again that nobody else changed the boot settings, which is what the tag was for.
 */
async function climb(machine: Machine, look: Look, boot: JsonObject, inSettings: boolean): Promise<Answer> {
  const first = await send(machine, look, boot, inSettings, strong(tagOf(look, inSettings)));
  if (!isTagRefusal(first)) return first;
  const fresh = await machine.lookAgain();
  if (JSON.stringify(bootOf(fresh, inSettings)) !== JSON.stringify(bootOf(look, inSettings))) {
    throw new PitstopError(
      "unreachable",
      `Somebody else changed the boot settings at ${machine.at} at the same moment; they are read again and then set.`,
    );
  }
  const tag = tagOf(fresh, inSettings);
  const rungs = [...(tag === tagOf(look, inSettings) ? [] : [strong(tag)]), weak(tag), null];
  let answer = first;
  for (const rung of rungs) {
    answer = await send(machine, fresh, boot, inSettings, rung);
    if (!isTagRefusal(answer)) break;
  }
  return answer;
}

async function send(
  machine: Machine,
  look: Look,
  boot: JsonObject,
  inSettings: boolean,
  tag: string | null,
): Promise<Answer> {
  const path = pathFor(machine, look, inSettings);
  try {
    return await machine.client.send({
      method: "PATCH",
      path,
      body: { Boot: boot },
      again: "busy",
      ...(tag === null ? {} : { headers: { "if-match": tag } }),
    });
  } finally {
    machine.wrote();
  }
}

function refusalOf(machine: Machine, answer: Answer): PitstopError {
  const { code, message, facts } = faultOf(answer, DID, machine.dialect.notNowMessages);
  return new PitstopError(code, message, { facts: { ...facts, answer: answer.body } });
}

/** The refusal, with the place that it names where that can be one for settings. */
function elsewhere(machine: Machine, answer: Answer, place: string): PitstopError {
  const { code, message, facts } = refusalOf(machine, answer);
  if (!SETTINGS.test(place)) return new PitstopError(code, message, { facts });
  return new PitstopError(code, `${message.replace(/\.$/, "")}; this BMC takes it only at ${place}.`, { facts });
}

/** How services end the path of a settings resource. */
const SETTINGS = /\/(SD|Settings|Pending|FutureState)\/?$/i;

/** A path in what a refusal is about; the text of a message may hold any path, so it does not count. Nor does one of `own`. */
function placeNamed(machine: Machine, own: string[], answer: Answer): string | null {
  for (const text of messagesOf(answer.body).flatMap(({ about }) => about)) {
    if (!/^(https?:\/\/[^/]+)?\/redfish\//.test(text)) continue;
    const path = pathOn(machine, text.split("#")[0] ?? "");
    if (path === null) return text;
    if (!own.some((one) => sameLink(one, path))) return path;
  }
  return null;
}

/** Null: the link leads to another host. */
function pathOn(machine: Machine, link: string): string | null {
  try {
    return machine.client.transport.pathOf(link);
  } catch {
    return null;
  }
}

const isBelow = (path: string, system: string): boolean => path.startsWith(`${system.replace(/\/+$/, "")}/`);

const pathFor = (machine: Machine, look: Look, inSettings: boolean): string =>
  inSettings && look.settings !== null ? look.settings.path : systemPath(machine, look);

function systemPath(machine: Machine, look: Look): string {
  const link = look.system["@odata.id"];
  if (link !== null) return machine.client.transport.pathOf(link);
  throw new PitstopError(
    "refused",
    `The system at ${machine.at} does not say its own path (@odata.id); update the BMC.`,
  );
}

const isTagRefusal = (answer: Answer): boolean => answer.status === 412 || answer.status === 428;
const tagOf = (look: Look, inSettings: boolean): string | null =>
  inSettings && look.settings !== null ? look.settings.etag : look.etag;
const bootOf = (look: Look, inSettings: boolean) => (inSettings ? look.settings?.boot : look.system.Boot);
const strong = (tag: string | null): string | null => tag?.replace(/^W\//, "") ?? null;
const weak = (tag: string | null): string | null => (tag === null ? null : `W/${tag.replace(/^W\//, "")}`);

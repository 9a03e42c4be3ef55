import { PitstopError } from "../../domain/errors.js";
import type { JsonObject } from "../json.js";
import { type Answer, faultOf } from "./faults.js";
import type { Look, Machine } from "./machine.js";

/**
 * Changes the system's `Boot` object, in the settings resource where `inSettings` says so. BMCs differ in which entity
 * tag they take, so it climbs down: strong, weak, none (RFC 9110, 13.1.1; on 412 and 428). Before it leaves the tag
 * out it has read again that nobody else changed the boot settings, which is what the tag was for.
 *
 * Throws the refusal; whether the change took effect is the caller's to read back.
 */
export async function patchBoot(machine: Machine, look: Look, boot: JsonObject, inSettings: boolean): Promise<void> {
  const first = await send(machine, look, boot, inSettings, strong(tagOf(look, inSettings)));
  if (!isTagRefusal(first)) return judge(machine, first);
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
  judge(machine, answer);
}

async function send(
  machine: Machine,
  look: Look,
  boot: JsonObject,
  inSettings: boolean,
  tag: string | null,
): Promise<Answer> {
  const path = inSettings && look.settings !== null ? look.settings.path : systemPath(machine, look);
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

function judge(machine: Machine, answer: Answer): void {
  if (answer.status < 400) return;
  throw faultOf(answer, "the change of its boot settings", machine.dialect.notNowMessages);
}

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

import { PitstopError } from "../../domain/errors.js";
import type { JsonObject } from "../json.js";
import { PASSWORD_CHANGE } from "./faults.js";
import { ServiceRoot } from "./resources.js";

/** Statuses and messages of a service that has no sessions, or lets nobody open one. None of them judges the password. */
const NO_SESSIONS = [404, 405, 501];
const NO_SESSIONS_SAID = ["ServiceDisabled", "ActionNotSupported", "OperationNotAllowed", "ResourceMissingAtURI"];
/** Vendors' words for a full table of sessions, beside those of the Base registry. */
const NO_ROOM =
  /(session|login)s?[^.]{0,60}(limit|maximum|in use|exceed|full)|(limit|maximum|too many|no free)[^.]{0,60}sessions?/i;

/** What a refused login means: the end of it, or that the service judged no password and has no session to give. */
export type LoginFault =
  | { is: "noSessions" }
  | { is: "wrongPassword" | "mustChange" }
  | { is: "fault"; error: PitstopError };

/** `loginFaultOf` lets the message decide before the status: a full table and a wrong password may have the same one. */
export function loginFaultOf(error: unknown, host: string): LoginFault {
  // The library found no token, or none where it looks for one.
  if (!(error instanceof PitstopError)) return { is: "noSessions" };
  const status = Number(error.facts.status);
  const ids = Array.isArray(error.facts.messageIds) ? error.facts.messageIds.map(String) : [];
  if (ids.includes(PASSWORD_CHANGE)) return { is: "mustChange" };
  if (error.code === "unreachable") return { is: "fault", error };
  if (NO_ROOM.test([error.message, ...ids.map(spaced)].join(" "))) return { is: "fault", error: noRoom(error, host) };
  if (NO_SESSIONS.includes(status) || ids.some((id) => NO_SESSIONS_SAID.includes(id))) return { is: "noSessions" };
  // The answer to a login may repeat what was sent: its text is not passed on, and neither is its cause.
  if (status === 400 || status === 401 || status === 403) return { is: "wrongPassword" };
  return { is: "fault", error };
}

const noRoom = (error: PitstopError, host: string): PitstopError =>
  new PitstopError(
    "unreachable",
    `${host} has no session free for a login (${error.message}); end other logins at the BMC, or wait for them to expire.`,
    { facts: error.facts },
  );

const spaced = (id: string): string => id.replace(/([a-z])([A-Z])/g, "$1 $2");

/** `withSessions` gives the root as the library reads it. The library looks for `Links.Sessions` alone. Null: the service names no sessions anywhere. */
export function withSessions(root: JsonObject): JsonObject | null {
  const { Links, SessionService } = ServiceRoot.parse(root);
  if (Links.Sessions !== null) return root;
  if (SessionService === null) return null;
  return { ...root, Links: { Sessions: { "@odata.id": `${SessionService.replace(/\/+$/, "")}/Sessions` } } };
}

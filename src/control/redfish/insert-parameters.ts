import type { JsonObject } from "../json.js";
import { type Answer, messagesOf, namesIn } from "./faults.js";

/** Parameters of InsertMedia (DSP0268) that a service may demand, or refuse, by name. */
export const PARAMETERS = [
  ...["TransferMethod", "TransferProtocolType", "UserName", "Password"],
  ...["Inserted", "WriteProtected", "MediaType"],
] as const;
/** Message ids of the Base registry for a parameter that the service does not take. */
const NOT_TAKEN = /(Unknown|NotSupported|NotWritable|Duplicate|Unrecognized)/;

/** `amended` gives the body with what the refusal asks for; null where it asks for nothing new. */
export function amended(body: JsonObject, answer: Answer, url: string, changed: Set<string>): JsonObject | null {
  const named = namesIn(answer.body, PARAMETERS).filter((name) => !changed.has(name));
  const isNotTaken = messagesOf(answer.body).some(({ id }) => NOT_TAKEN.test(id));
  const out = isNotTaken ? named.filter((name) => name in body) : [];
  const asked = out.length > 0 ? [] : named.filter((name) => !(name in body));
  const added = Object.fromEntries(Object.entries(withTheirPairs(asked, url)).filter(([name]) => !(name in body)));
  for (const name of [...out, ...asked, ...Object.keys(added)]) changed.add(name);
  if (out.length === 0 && Object.keys(added).length === 0) return null;
  return { ...Object.fromEntries(Object.entries(body).filter(([name]) => !out.includes(name))), ...added };
}

/** What a parameter is given, with the one that services want beside it. The medium needs no account: any will do. */
function withTheirPairs(asked: readonly string[], url: string): JsonObject {
  const transfer = {
    TransferMethod: "Stream",
    TransferProtocolType: new URL(url).protocol === "https:" ? "HTTPS" : "HTTP",
  };
  const account = { UserName: "anonymous", Password: "anonymous" };
  return {
    ...(asked.some((name) => name in transfer) ? transfer : {}),
    ...(asked.some((name) => name in account) ? account : {}),
    ...(asked.includes("Inserted") ? { Inserted: true } : {}),
    ...(asked.includes("WriteProtected") ? { WriteProtected: true } : {}),
    ...(asked.includes("MediaType") ? { MediaType: "CD" } : {}),
  };
}

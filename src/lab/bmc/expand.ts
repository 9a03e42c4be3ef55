import { refuse } from "./messages.js";
import type { Json } from "./resource.js";
import { MAX_EXPAND_LEVELS } from "./resources/root.js";

/** What to expand: `.` links outside Links, `~` links inside it, `*` both (DSP0266 section 7.3.2). */
type Mode = "." | "~" | "*";

/** Applies the query parameters `$expand` and `only`; others that begin with `$` are refused with 501. */
export async function expandQuery(
  body: Json,
  query: URLSearchParams,
  read: (path: string) => Promise<Json | null>,
): Promise<Json> {
  for (const name of query.keys()) {
    if (name.startsWith("$") && name !== "$expand") throw refuse(501, "QueryParameterUnsupported", [name]);
  }
  const expand = query.get("$expand");
  if (query.has("only") && expand !== null) throw refuse(400, "QueryParameterUnsupported", ["only"]);
  if (query.has("only")) return onlyMember(body, read);
  if (expand === null) return body;
  const match = /^([.~*])(?:\(\$levels=(\d+)\))?$/.exec(expand);
  const levels = Number(match?.[2] ?? 1);
  if (!match || levels < 1 || levels > MAX_EXPAND_LEVELS) throw refuse(400, "QueryParameterUnsupported", ["$expand"]);
  return (await walk(body, match[1] as Mode, levels, false, read)) as Json;
}

async function onlyMember(body: Json, read: (path: string) => Promise<Json | null>): Promise<Json> {
  const members = body.Members;
  if (!Array.isArray(members)) throw refuse(400, "QueryParameterUnsupported", ["only"]);
  if (members.length !== 1) return body;
  return (await read(String((members[0] as Json)["@odata.id"]))) ?? body;
}

async function walk(
  value: unknown,
  mode: Mode,
  levels: number,
  inLinks: boolean,
  read: (path: string) => Promise<Json | null>,
): Promise<unknown> {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return Promise.all(value.map((each) => walk(each, mode, levels, inLinks, read)));
  const entries = Object.entries(value);
  const [only] = entries;
  if (only && entries.length === 1 && only[0] === "@odata.id") {
    const wanted = mode === "*" || (mode === "~") === inLinks;
    const found = wanted ? await read(String(only[1])) : null;
    if (!found) return value;
    return levels > 1 ? walk(found, mode, levels - 1, false, read) : found;
  }
  const walked = entries.map(
    async ([key, inner]) => [key, await walk(inner, mode, levels, inLinks || key === "Links", read)] as const,
  );
  return Object.fromEntries(await Promise.all(walked));
}

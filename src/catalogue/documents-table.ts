import { isDeepStrictEqual } from "node:util";
import { CatalogueDocument, type Kind } from "../domain/documents.js";
import { PitstopError } from "../domain/errors.js";
import type { DocumentOf } from "./catalogue.js";
import type { Database, Sql } from "./database.js";
import { check, sentenceOf } from "./explain.js";
import { clashesOf, identityKeys, sayIdentity } from "./identity.js";
import { ADVISORY_LOCK } from "./migrations.js";

/** Writes of documents take turns: they are rare, and rules across documents then need no further care. */
const takeTurn = (sql: Sql) => sql.query("select pg_advisory_xact_lock($1)", [ADVISORY_LOCK]);

/** A NUL or half a surrogate pair, as JSON escapes them; PostgreSQL cannot look into either. */
const unstorable = /(^|[^\\])(\\\\)*\\u(0000|d[89a-f][0-9a-f]{2})/i;

export async function applyDocument(
  database: Database,
  document: CatalogueDocument,
): Promise<"created" | "changed" | "unchanged"> {
  const text = JSON.stringify(document);
  if (unstorable.test(text)) {
    throw new PitstopError(
      "invalid",
      `${document.kind} ${document.name} has a NUL character or a broken Unicode pair in it; take it out.`,
    );
  }
  return await database.transaction(async (sql) => {
    await takeTurn(sql);
    const key = [document.kind, document.name];
    const [row] = await sql.query<{ document: unknown }>(
      "select document from documents where kind = $1 and name = $2",
      key,
    );
    if (row && isDeepStrictEqual(row.document, JSON.parse(text))) return "unchanged";
    if (document.kind === "Target") await claimIdentity(sql, document);
    await sql.query(
      `insert into documents (kind, name, labels, document) values ($1, $2, $3::jsonb, $4::json)
       on conflict (kind, name) do update
       set labels = excluded.labels, document = excluded.document, changed_at = now()`,
      [...key, JSON.stringify(document.labels), text],
    );
    return row ? "changed" : "created";
  });
}

/** Two names for one machine are refused (promise 11): two sessions could hold it at once. */
async function claimIdentity(sql: Sql, target: DocumentOf<"Target">): Promise<void> {
  const keys = identityKeys(target);
  const clash = clashesOf(keys);
  const [other] = await sql.query<{ key: string; target: string }>(
    `select key, target from identities
     where target <> $1 and (key = any($2::text[]) or exists (select 1 from unnest($3::text[]) p where starts_with(key, p)))
     order by key limit 1`,
    [target.name, clash.keys, clash.prefixes],
  );
  if (other) {
    throw new PitstopError(
      "conflict",
      `Target ${target.name} has ${sayIdentity(other.key)}, which is target ${other.target}'s; one machine has one name, so correct this one or delete ${other.target}.`,
      { facts: { other: other.target, identity: other.key } },
    );
  }
  await sql.query("delete from identities where target = $1", [target.name]);
  await sql.query("insert into identities (key, target) select key, $2 from unnest($1::text[]) key", [
    keys,
    target.name,
  ]);
}

export async function getDocument<K extends Kind>(sql: Sql, kind: K, name: string): Promise<DocumentOf<K> | null> {
  const [row] = await sql.query<{ document: unknown }>("select document from documents where kind = $1 and name = $2", [
    kind,
    name,
  ]);
  return row ? revive(kind, row.document) : null;
}

export async function listDocuments<K extends Kind>(
  sql: Sql,
  kind: K,
  selector: Record<string, string> = {},
): Promise<DocumentOf<K>[]> {
  // "C": names are ASCII, and the order must not depend on the server's locale.
  const rows = await sql.query<{ document: unknown }>(
    `select document from documents where kind = $1 and labels @> $2::jsonb order by name collate "C"`,
    [kind, JSON.stringify(selector)],
  );
  return rows.map((row) => revive(kind, row.document));
}

export async function deleteDocument(database: Database, kind: Kind, name: string): Promise<void> {
  await database.transaction(async (sql) => {
    await takeTurn(sql);
    if (kind === "Image") await refuseUsedImage(sql, name);
    if (kind === "Target") await refuseAwayTarget(sql, name);
    const gone = await sql.query("delete from documents where kind = $1 and name = $2 returning name", [kind, name]);
    if (gone.length === 0) {
      throw new PitstopError(
        "notFound",
        `There is no ${kind.toLowerCase()} ${name} to delete; "pitstop get ${kind.toLowerCase()}s" lists them.`,
      );
    }
    if (kind === "Target") await sql.query("delete from identities where target = $1", [name]);
  });
}

async function refuseUsedImage(sql: Sql, name: string): Promise<void> {
  const users = (await listDocuments(sql, "Action")).filter((action) => action.image === name);
  const [first] = users;
  if (!first) return;
  throw new PitstopError(
    "conflict",
    `Image ${name} is used by action ${first.name}${users.length > 1 ? ` and ${users.length - 1} more` : ""}; change or delete the action first.`,
    { facts: { actions: users.map((action) => action.name) } },
  );
}

async function refuseAwayTarget(sql: Sql, name: string): Promise<void> {
  const [open] = await sql.query<{ session: string }>("select session from snapshots where target = $1", [name]);
  if (!open) return;
  throw new PitstopError(
    "busy",
    `Target ${name} is not known to be home (session ${open.session} has its boot snapshot open); end that session first.`,
    { facts: { session: open.session } },
  );
}

/** Stored documents pass through today's schema, which fills in what an older Pitstop did not know. */
function revive<K extends Kind>(kind: K, document: unknown): DocumentOf<K> {
  const checked = check(CatalogueDocument, document);
  if (checked.ok && checked.value.kind === kind) return checked.value as DocumentOf<K>;
  const why = checked.ok ? "" : ` (${sentenceOf(checked.complaints)})`;
  throw new PitstopError(
    "internal",
    `A stored ${kind} is not one that this version understands${why}; apply it again.`,
  );
}

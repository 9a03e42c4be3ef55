import { randomUUID } from "node:crypto";
import { PitstopError } from "../domain/errors.js";
import type { Sql } from "./database.js";

/** A first use that has no answer after so long belonged to a server that died; the next use takes it over. */
const ABANDONED_AFTER = "1 minute";
const KEPT_FOR = "1 day";

interface Row {
  owner: string;
  fingerprint: string;
  answer: { value: unknown } | null;
}

/** Runs `answer` once for each key; see `Catalogue.once`. The key is claimed before, so that two servers cannot both run it. */
export async function once(
  sql: Sql,
  key: string,
  fingerprint: string,
  answer: () => Promise<unknown>,
): Promise<{ answer: unknown; replayed: boolean }> {
  await sql.query(`delete from answers where created_at < now() - interval '${KEPT_FOR}'`);
  const owner = randomUUID();
  const row = await claim(sql, key, fingerprint, owner);
  if (row.fingerprint !== fingerprint) {
    throw new PitstopError("conflict", "This Idempotency-Key was used for another request; use a new one.");
  }
  if (row.owner !== owner) {
    if (row.answer) return { answer: row.answer.value, replayed: true };
    throw new PitstopError(
      "conflict",
      "The first request with this Idempotency-Key is still under way; ask again in a moment.",
    );
  }
  try {
    const value = await answer();
    await sql.query("update answers set answer = $3::json where key = $1 and owner = $2", [
      key,
      owner,
      JSON.stringify({ value }),
    ]);
    return { answer: value, replayed: false };
  } catch (error) {
    await sql.query("delete from answers where key = $1 and owner = $2", [key, owner]);
    throw error;
  }
}

/** Inserts the key, takes over an abandoned one, or returns the row that is there, in one statement. */
async function claim(sql: Sql, key: string, fingerprint: string, owner: string): Promise<Row> {
  const abandoned = `answers.answer is null and answers.fingerprint = excluded.fingerprint
    and answers.created_at < now() - interval '${ABANDONED_AFTER}'`;
  const [row] = await sql.query<Row>(
    `insert into answers (key, fingerprint, owner) values ($1, $2, $3)
     on conflict (key) do update
     set owner = case when ${abandoned} then excluded.owner else answers.owner end,
         created_at = case when ${abandoned} then now() else answers.created_at end
     returning owner, fingerprint, answer`,
    [key, fingerprint, owner],
  );
  if (!row) throw new PitstopError("internal", "The database kept no row for an Idempotency-Key.");
  return row;
}

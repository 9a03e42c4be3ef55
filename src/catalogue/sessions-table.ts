import type { SessionRecord } from "../domain/record.js";
import type { BootSnapshot } from "../domain/snapshot.js";
import type { Sql } from "./database.js";

const LIST_DEFAULT = 100;
const LIST_MAX = 1000;

/** The update that changes nothing makes the insert return the row that is kept, whichever that is, in one statement. */
export async function keepSnapshot(sql: Sql, snapshot: BootSnapshot): Promise<BootSnapshot> {
  const [row] = await sql.query<{ snapshot: BootSnapshot }>(
    `insert into snapshots (target, session, snapshot) values ($1, $2, $3::json)
     on conflict (target) do update set target = snapshots.target
     returning snapshot`,
    [snapshot.target, snapshot.session, JSON.stringify(snapshot)],
  );
  return row?.snapshot ?? snapshot;
}

export async function openSnapshot(sql: Sql, target: string): Promise<BootSnapshot | null> {
  const [row] = await sql.query<{ snapshot: BootSnapshot }>("select snapshot from snapshots where target = $1", [
    target,
  ]);
  return row?.snapshot ?? null;
}

export async function openSnapshots(sql: Sql): Promise<BootSnapshot[]> {
  const rows = await sql.query<{ snapshot: BootSnapshot }>("select snapshot from snapshots order by target");
  return rows.map((row) => row.snapshot);
}

export async function closeSnapshot(sql: Sql, target: string, session: string): Promise<void> {
  await sql.query("delete from snapshots where target = $1 and session = $2", [target, session]);
}

/** A late write of a session that has ended meanwhile (a timed-out attempt's) does not open its record again. */
export async function putRecord(sql: Sql, record: SessionRecord): Promise<void> {
  await sql.query(
    `insert into sessions (session, target, campaign, started_at, ended_at, record)
     values ($1, $2, $3, $4::timestamptz, $5::timestamptz, $6::json)
     on conflict (session) do update
     set target = excluded.target, campaign = excluded.campaign, started_at = excluded.started_at,
         ended_at = excluded.ended_at, record = excluded.record
     where sessions.ended_at is null or excluded.ended_at is not null`,
    [record.session, record.target, record.campaign, record.startedAt, record.endedAt, JSON.stringify(record)],
  );
}

export async function getRecord(sql: Sql, session: string): Promise<SessionRecord | null> {
  const [row] = await sql.query<{ record: SessionRecord }>("select record from sessions where session = $1", [session]);
  return row?.record ?? null;
}

export async function listRecords(
  sql: Sql,
  filter: { target?: string; campaign?: string; open?: boolean; limit?: number },
): Promise<SessionRecord[]> {
  const limit = Math.min(Math.max(1, filter.limit ?? LIST_DEFAULT), LIST_MAX);
  const rows = await sql.query<{ record: SessionRecord }>(
    `select record from sessions
     where ($1::text is null or target = $1)
       and ($2::text is null or campaign = $2)
       and ($3::boolean is null or (ended_at is null) = $3)
     order by started_at desc, session limit $4`,
    [filter.target ?? null, filter.campaign ?? null, filter.open ?? null, limit],
  );
  return rows.map((row) => row.record);
}

import { PitstopError } from "../domain/errors.js";
import type { Database } from "./database.js";

/** The version that the first step makes. Builds before it, of which none was released, kept snapshots that this one cannot read. */
const FIRST = 2;

/**
 * Step i makes version FIRST + i. A step that was released is never edited; a change is a new step.
 *
 * Documents, snapshots and records are `json`, not `jsonb`: they come back as they were written, in their order, and a
 * finding with a NUL character or a lone surrogate in it (machines report such) can be kept.
 */
const STEPS: readonly string[] = [
  `
  create table documents (
    kind text not null,
    name text not null,
    labels jsonb not null,
    document json not null,
    changed_at timestamptz not null default now(),
    primary key (kind, name)
  );
  create index documents_labels on documents using gin (labels jsonb_path_ops);

  -- One row for each thing that tells one machine from another (promise 11); the key is the proof of uniqueness.
  create table identities (
    key text primary key,
    target text not null
  );
  create index identities_target on identities (target);

  create table snapshots (
    target text primary key,
    session text not null,
    taken_at timestamptz not null default now(),
    snapshot json not null
  );

  create table sessions (
    session text primary key,
    target text not null,
    campaign text,
    started_at timestamptz not null,
    ended_at timestamptz,
    record json not null
  );
  create index sessions_started on sessions (started_at desc, session);
  create index sessions_target on sessions (target, started_at desc);
  create index sessions_campaign on sessions (campaign) where campaign is not null;
  create index sessions_open on sessions (started_at desc) where ended_at is null;

  create table answers (
    key text primary key,
    fingerprint text not null,
    owner text not null,
    answer json,
    created_at timestamptz not null default now()
  );
  create index answers_created on answers (created_at);
  `,
];

/** Any number will do, if nothing else in the database takes it: "pitstop" in its first bytes. */
export const ADVISORY_LOCK = 0x70697473;

/** Brings the schema to this program's version; refuses a newer one, and one of before `FIRST`. Two servers that start at once take turns. */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query("select pg_advisory_xact_lock($1)", [ADVISORY_LOCK]);
    await sql.query(
      "create table if not exists pitstop_schema (version integer primary key, applied_at timestamptz not null default now())",
    );
    const [row] = await sql.query<{ version: number | null }>("select max(version) as version from pitstop_schema");
    const version = row?.version ?? 0;
    const newest = FIRST + STEPS.length - 1;
    if (version > newest) {
      throw new PitstopError(
        "refused",
        `The catalogue was written by a newer Pitstop (schema ${version}, this one knows ${newest}); start that one, or a copy of the data from before.`,
      );
    }
    if (version > 0 && version < FIRST) {
      throw new PitstopError(
        "refused",
        `The catalogue was written by a Pitstop of before the first release (schema ${version}); end its sessions with that one, and start this one on an empty PITSTOP_DATA or database.`,
      );
    }
    for (const [index, step] of STEPS.entries()) {
      if (FIRST + index <= version) continue;
      for (const statement of statementsOf(step)) await sql.query(statement);
      await sql.query("insert into pitstop_schema (version) values ($1)", [FIRST + index]);
    }
  });
}

/** One statement a query, so that an error names its statement. No step has a semicolon inside a statement. */
const statementsOf = (step: string): string[] =>
  step
    .replace(/--.*$/gm, "")
    .split(";")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");

/** The little that the catalogue asks of a database, in PostgreSQL's dialect. */
export interface Sql {
  /** Parameters are `$1`, `$2`, …; JSON goes in as text and comes out parsed. */
  query<Row = Record<string, unknown>>(text: string, params?: unknown[]): Promise<Row[]>;
}

export interface Database extends Sql {
  /** Runs `work` in one transaction; whatever it throws rolls back. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(tell?: (part: string) => void): Promise<void>;
}

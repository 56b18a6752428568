/** Read: what `doctor` asks a database about its health. Nothing here changes or locks anything. */
import type { Sql } from "./db.ts";

export interface ServerHealth {
  /** For example 18.4. */
  version: string;
  /** For example 180004. */
  versionNumber: number;
  synchronousCommit: string;
  fsync: boolean;
  autovacuum: boolean;
  inRecovery: boolean;
  /** Whether a transaction may not write: on a standby, and where default_transaction_read_only is on. */
  readOnly: boolean;
  maxConnections: number;
  usedConnections: number;
  /** The database's clock, in ms since 1970. */
  nowMs: number;
}

/** The server's version, the settings that durability hangs on, its connections and its clock. */
export async function serverHealth(sql: Sql): Promise<ServerHealth> {
  const [row] = await sql`
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
      current_setting('server_version_num')::int AS version_number,
      current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync')::bool AS fsync,
      current_setting('autovacuum')::bool AS autovacuum, pg_is_in_recovery() AS in_recovery,
      current_setting('transaction_read_only')::bool AS read_only,
      current_setting('max_connections')::int AS max_connections,
      (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used_connections,
      extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms`;
  if (row === undefined) throw new Error("a SELECT without FROM gave no row");
  return {
    version: row["version"],
    versionNumber: row["version_number"],
    synchronousCommit: row["synchronous_commit"],
    fsync: row["fsync"],
    autovacuum: row["autovacuum"],
    inRecovery: row["in_recovery"],
    readOnly: row["read_only"],
    maxConnections: row["max_connections"],
    usedConnections: row["used_connections"],
    nowMs: row["now_ms"],
  };
}

/** Names of broken indexes on our tables, left by an interrupted CREATE INDEX CONCURRENTLY. */
export async function invalidIndexes(sql: Sql): Promise<string[]> {
  const rows = await sql`
    SELECT i.indexrelid::regclass::text AS name FROM pg_index i
    WHERE NOT (i.indisvalid AND i.indisready) AND i.indrelid IN (
      to_regclass('ai_job'), to_regclass('ai_result'), to_regclass('ai_ready'), to_regclass('ai_lease'))
    ORDER BY 1`;
  return rows.map((row) => String(row["name"]));
}

/** Which of the two indexes exist that only Django's claim and reclaim read. */
export async function djangoClaimIndexes(sql: Sql): Promise<string[]> {
  const rows = await sql`
    SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE i.indrelid = to_regclass('ai_job') AND c.relname IN ('ai_job_status_next_run_idx', 'ai_job_lease_idx')
    ORDER BY 1`;
  return rows.map((row) => String(row["relname"]));
}

export interface OldSnapshot {
  /** For example "session 4711 (psql, idle in transaction)". */
  holder: string;
  ageMs: number;
}

/** What keeps dead rows from being vacuumed away the longest; null when nothing does. */
export async function oldestSnapshot(sql: Sql): Promise<OldSnapshot | null> {
  const [row] = await sql`
    SELECT holder, extract(epoch FROM now() - since)::float8 * 1000 AS age_ms FROM (
      SELECT format('session %s (%s, %s)', pid, coalesce(nullif(application_name, ''), 'no name'), state) AS holder,
        coalesce(xact_start, query_start) AS since
      FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
      UNION ALL
      SELECT format('prepared transaction %s', gid), prepared FROM pg_prepared_xacts
    ) holders WHERE since IS NOT NULL ORDER BY since LIMIT 1`;
  return row === undefined ? null : { holder: row["holder"], ageMs: row["age_ms"] };
}

/** Replication slots without a reader that hold back vacuum and WAL. */
export async function idleSlots(sql: Sql): Promise<string[]> {
  const rows = await sql`
    SELECT slot_name FROM pg_replication_slots WHERE NOT active AND (xmin IS NOT NULL OR restart_lsn IS NOT NULL)
    ORDER BY 1`;
  return rows.map((row) => String(row["slot_name"]));
}

/** The job_id behind each ai_job.id that has one. */
export async function jobIdsOf(sql: Sql, ids: number[]): Promise<Map<number, string>> {
  const rows = await sql`SELECT id, job_id FROM ai_job WHERE id = ANY(${ids.map(String)}::text[]::bigint[])`;
  return new Map(rows.map((row) => [Number(row["id"]), String(row["job_id"])]));
}

/**
 * Move: jobs that ended long ago leave the tables, a bounded step at a time.
 *
 * ai_job has no index on the end of a job, since each move would have to write it (docs/decisions/001). So a step looks
 * at the next rows by the primary key, and whoever calls goes on from where it ended. A job is taken only once it is
 * locked and found ended and old enough in its newest version; one that another holds, such as an operator's retry, is
 * passed over. Its result goes in the same statement, which Django's foreign key demands.
 */
import type { Sql } from "./db.ts";
import { among } from "./lookups.ts";
import { unlessReferenced } from "./prune-references.ts";
import { retrying } from "./retry-statement.ts";

/** Whether what leaves is kept in ai_job_archive. */
export type RetentionMode = "delete" | "archive";

export interface PruneOptions {
  /** Jobs leave that ended more than so many days ago. */
  days: number;
  mode: RetentionMode;
  /** Where the step before ended; null: at the first job. */
  after: string | null;
  /** Rows that are looked at, at most. */
  look?: number;
  /** Jobs that leave, at most. */
  most?: number;
  /** Of payloads and results that leave, as they are stored; one job may pass it. */
  maxBytes?: number;
}

export interface Pruned {
  /** Jobs that left. */
  gone: number;
  /** Where the next step begins; null: this was the last one. */
  next: string | null;
  /** All rows that were looked at are of jobs dispatched so lately that they cannot have ended long ago. */
  young: boolean;
}

const BEFORE_ALL = "-9223372036854775808";

/** Takes one step. */
export async function prune(sql: Sql, options: PruneOptions): Promise<Pruned> {
  const { look = 1_000 } = options;
  const kept = await unlessReferenced(sql);
  const [row] = await retrying(() => pruneStatement(sql, { look, most: 250, maxBytes: 16_777_216, ...options }, kept));
  if (row === undefined) throw new Error("a SELECT without FROM gave no row");
  // Those that did not fit into this step come with the next.
  const next = row.left_over ? row.reached : row.seen < look ? null : row.last;
  return { gone: row.gone, next, young: row.young };
}

interface StepRow {
  seen: number;
  last: string | null;
  /** There were more old jobs than could leave. */
  left_over: boolean;
  reached: string | null;
  gone: number;
  young: boolean;
}

function pruneStatement(sql: Sql, options: Required<PruneOptions>, kept: string) {
  const { days, after, look, most, maxBytes } = options;
  const since = sql`now() - ${days}::int * interval '1 day'`;
  // Django's jobs have no finished_at; its updated_at is the time of the last write.
  const ended = sql`j.status IN ('DONE', 'FAILED', 'CANCELLED') AND coalesce(j.finished_at, j.updated_at) < ${since}`;
  return sql<StepRow[]>`
    WITH seen AS MATERIALIZED (
      SELECT id, created_at, ${ended} AS ended, pg_column_size(payload) AS bytes
      FROM ai_job j WHERE id > ${after ?? BEFORE_ALL}::text::bigint ORDER BY id LIMIT ${look}::int
    ), sized AS MATERIALIZED (
      SELECT id, row_number() OVER (ORDER BY id) AS place, s.bytes + coalesce(r.bytes, 0) AS bytes,
        sum(s.bytes + coalesce(r.bytes, 0)) OVER (ORDER BY id) AS total
      FROM (SELECT * FROM seen WHERE ended ORDER BY id LIMIT ${most}::int + 1) s
      LEFT JOIN LATERAL (SELECT pg_column_size(payload) AS bytes FROM ai_result WHERE job_id = s.id OFFSET 0) r ON true
    ), chosen AS MATERIALIZED (
      SELECT id FROM sized WHERE place <= ${most}::int AND (place = 1 OR total <= ${maxBytes}::bigint) ORDER BY id
    ), old AS MATERIALIZED (
      SELECT j.* FROM (SELECT id FROM chosen ORDER BY id) c CROSS JOIN LATERAL (
        SELECT * FROM ai_job j WHERE j.id = c.id AND ${ended} AND ${sql.unsafe(kept)} OFFSET 0 FOR UPDATE SKIP LOCKED) j
    ), ${options.mode === "archive" ? archived(sql) : sql``} result AS (
      DELETE FROM ai_result WHERE ${among(sql, "job_id", "old")}
    ), gone AS (
      DELETE FROM ai_job WHERE ${among(sql, "id", "old")} RETURNING id
    )
    SELECT (SELECT count(*)::int FROM seen) AS seen, (SELECT max(id)::text FROM seen) AS last,
      (SELECT count(*) FROM chosen) < (SELECT count(*) FROM sized) AS left_over,
      (SELECT max(id)::text FROM chosen) AS reached, (SELECT count(*)::int FROM gone) AS gone,
      NOT EXISTS (SELECT FROM seen WHERE created_at < ${since}) AS young`;
}

/** Copies the locked jobs, whose rows are the newest, and their results. */
function archived(sql: Sql) {
  return sql`archived AS (
    INSERT INTO ai_job_archive (job_id, job_type, status, payload, result, result_at, tenant_id, source_domain,
      source_id, priority, idempotency_key, traceparent, attempt_count, max_attempts, deliveries, error_message,
      last_error, progress_percent, progress_note, cancel_requested_at, cancel_reason, locked_by, locked_at,
      next_run_at, created_at, updated_at, finished_at)
    SELECT o.job_id, o.job_type, o.status, o.payload, r.payload, r.updated_at, o.tenant_id, o.source_domain,
      o.source_id, o.priority, o.idempotency_key, o.traceparent, o.attempt_count, o.max_attempts, o.deliveries,
      o.error_message, o.last_error, o.progress_percent, o.progress_note, o.cancel_requested_at, o.cancel_reason,
      o.locked_by, o.locked_at, o.next_run_at, o.created_at, o.updated_at, o.finished_at
    FROM old o LEFT JOIN LATERAL (SELECT payload, updated_at FROM ai_result WHERE job_id = o.id OFFSET 0) r ON true
    ORDER BY o.id
  ),`;
}

const RESULTS = 250;

/**
 * Removes results of earlier lives that are older than so many days: an operator's retry put them aside, in the order of
 * their ids. Full: there may be more.
 */
export async function pruneResults(sql: Sql, days: number): Promise<{ full: boolean }> {
  const { count } = await sql`
    DELETE FROM ai_result_archive WHERE id = ANY (ARRAY(
      SELECT id FROM (
        SELECT id, archived_at FROM ai_result_archive ORDER BY id LIMIT ${RESULTS}::int FOR UPDATE SKIP LOCKED) r
      WHERE archived_at < now() - ${days}::int * interval '1 day'))`;
  return { full: count === RESULTS };
}

/** Whether this broker is the one that prunes: of those that are there the longest. That another does it harms nothing. */
export async function hasTurn(sql: Sql, brokerId: string): Promise<boolean> {
  const [row] = await sql`
    SELECT broker_id = ${brokerId} AS mine FROM ai_broker WHERE seen_at > now() - interval '15 seconds'
    ORDER BY started_at, broker_id LIMIT 1`;
  return row?.["mine"] === true;
}

/** When a job left for the archive; null when there is none of this id. Its newest, where an id came again. */
export async function archivedAt(sql: Sql, jobId: string): Promise<Date | null> {
  const [row] = await sql<{ at: Date | null }[]>`
    SELECT max(archived_at) AS at FROM ai_job_archive WHERE job_id = ${jobId}`;
  return row?.at ?? null;
}

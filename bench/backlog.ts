/** Fills the queue by SQL, as a million dispatches would leave it: both tables, marked as moves of our own. */
import type { Sql } from "../src/store/db.ts";

export interface Backlog {
  rows: number;
  /** The jobs take these in turn. */
  types: readonly string[];
  /** Priorities 0..n-1 in turn; 1 unless given. */
  priorities?: number;
  /** When the first job is due, in seconds from now; negative: long due. */
  firstDueSeconds: number;
  /** Between one job's due time and the next one's; 0: all share one next_run_at. */
  stepSeconds: number;
  /** About the length of a payload as JSON; as short as a small job's, some 70, unless given. */
  payloadBytes?: number;
}

const ROWS_PER_STATEMENT = 100_000;
const SHORTEST_BYTES = 90;
const DIGEST_BYTES = 32;

/** The events, too: their index grows from round to round, and with it the pages that a checkpoint has written whole. */
export const CLEAR = "TRUNCATE ai_result, ai_job, ai_ready, ai_lease, ai_event";

/** Adds the backlog to what is there. */
export async function fill(sql: Sql, backlog: Backlog): Promise<void> {
  for (let from = 0; from < backlog.rows; from += ROWS_PER_STATEMENT) {
    await fillRange(sql, backlog, from, Math.min(backlog.rows, from + ROWS_PER_STATEMENT) - 1);
  }
}

async function fillRange(sql: Sql, backlog: Backlog, from: number, to: number): Promise<void> {
  const types = [...backlog.types];
  const digests = Math.round(Math.max(0, (backlog.payloadBytes ?? 0) - SHORTEST_BYTES) / DIGEST_BYTES);
  await sql`
    WITH base AS MATERIALIZED (
      SELECT date_trunc('day', now()) + ${backlog.firstDueSeconds}::float8 * interval '1 second' AS at
    ), job AS (
      INSERT INTO ai_job (job_id, job_type, payload, priority, next_run_at, move)
      SELECT gen_random_uuid()::text, (${types}::text[])[1 + g % ${types.length}],
        jsonb_build_object('sheet_id', g, 'image_url', 'https://example.org/sheets/' || g || '.png') || CASE
          WHEN ${digests}::int = 0 THEN '{}'
          -- Of one letter it would be compressed to nothing where it is long.
          ELSE jsonb_build_object('note', (SELECT string_agg(md5(g || '/' || n), '') FROM generate_series(1, ${digests}::int) n))
        END,
        g % ${backlog.priorities ?? 1}, base.at + g * ${backlog.stepSeconds}::float8 * interval '1 second', 1
      FROM base, generate_series(${from}::int, ${to}::int) g
      RETURNING id, job_type, priority, next_run_at, octet_length(payload::text) AS bytes
    )
    INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
    SELECT job_type, priority, next_run_at, id, bytes FROM job`;
}

/** Takes everything out; statistics stay as they were, so the next backlog meets stale ones. */
export async function clear(sql: Sql): Promise<void> {
  await sql.unsafe(CLEAR);
}

/** Puts what this worker holds back where it was, so that the next claim meets the same backlog. */
export async function requeue(sql: Sql, workerId: string): Promise<void> {
  await sql`
    WITH held AS (
      DELETE FROM ai_lease WHERE worker_id = ${workerId} RETURNING id
    ), job AS (
      UPDATE ai_job j SET status = 'PENDING', attempt_count = 0, deliveries = 0, locked_by = NULL, locked_at = NULL,
        lease_expires_at = NULL, last_heartbeat_at = NULL, lease_token = NULL, move = j.move + 1
      FROM held h WHERE j.id = h.id
      RETURNING j.id, j.job_type, j.priority, j.next_run_at, octet_length(j.payload::text) AS bytes
    )
    INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
    SELECT job_type, priority, next_run_at, id, bytes FROM job`;
}

/** Move: an attempt ends as its worker says, if its lease is still the job's. */
import type { Backoff } from "../job/retry.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, lockedJobs } from "./lookups.ts";
import type { Report, Reported, ReportStatus } from "./rows.ts";

/**
 * Settles each report in one statement: state, result row and queue rows together. Answers in the order of `reports`;
 * the rules stand in the order of the contract's table, the first that fits decides.
 */
export async function report(sql: Sql, reports: Report[], backoff: Backoff): Promise<Reported[]> {
  const rows = await reportStatement(sql, reports, backoff);
  return rows.map((r) => ({
    jobId: r.job_id,
    status: r.verdict,
    type: r.job_type,
    attempt: r.attempt,
    to: r.to,
    durationMs: r.duration_ms,
  }));
}

interface ReportRow {
  job_id: string;
  verdict: ReportStatus;
  job_type: string | null;
  attempt: number | null;
  to: Status | null;
  duration_ms: number | null;
}

function reportStatement(sql: Sql, reports: Report[], backoff: Backoff) {
  return sql<ReportRow[]>`
    WITH input AS MATERIALIZED (
      SELECT i.ord, i.job_id, i.token, i.status, i.result, i.error, i.retryable = 't' AS retryable,
        i.delay_ms::float8 AS delay_ms,
        row_number() OVER twin AS turn, first_value(i.status) OVER twin AS first_status
      FROM unnest(${reports.map((r) => r.jobId)}::text[], ${reports.map((r) => r.token)}::text[],
        ${reports.map((r) => r.status)}::text[], ${reports.map((r) => r.result)}::text[],
        ${reports.map((r) => r.error)}::text[], ${reports.map((r) => (r.retryable ? "t" : "f"))}::text[],
        ${reports.map((r) => (r.retryDelayMs === null ? null : String(r.retryDelayMs)))}::text[]
      ) WITH ORDINALITY AS i (job_id, token, status, result, error, retryable, delay_ms, ord)
      WINDOW twin AS (PARTITION BY i.job_id, i.token ORDER BY i.ord)
    ), job AS MATERIALIZED (
      ${lockedJobs(sql, "input")}
    ), verdict AS MATERIALIZED (
      SELECT i.*, j.id, j.job_type, j.attempt_count, j.locked_at,
        j.status = 'RUNNING' AND j.lease_token = i.token AND i.turn = 1 AS settles,
        CASE WHEN j.id IS NULL THEN 'NOT_FOUND'
          WHEN j.settled_token = i.token THEN
            CASE j.settled_as WHEN 'CANCELLED' THEN 'CANCELLED' WHEN i.status THEN 'DUPLICATE' ELSE 'CONFLICT' END
          WHEN j.status <> 'RUNNING' OR j.lease_token IS DISTINCT FROM i.token THEN 'LEASE_LOST'
          WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
          WHEN i.turn > 1 THEN CASE WHEN i.status = i.first_status THEN 'DUPLICATE' ELSE 'CONFLICT' END
          WHEN i.status = 'FAILED' AND i.retryable AND j.attempt_count < coalesce(nullif(j.max_attempts, 0), 5)
            THEN 'RETRYING'
          ELSE 'ACCEPTED' END AS verdict
      FROM input i LEFT JOIN job j ON j.job_id = i.job_id
    ), settled AS (
      UPDATE ai_job j SET
        status = CASE v.verdict WHEN 'RETRYING' THEN 'PENDING' WHEN 'CANCELLED' THEN 'CANCELLED' ELSE v.status END,
        error_message = CASE WHEN v.verdict = 'CANCELLED' THEN j.error_message WHEN v.status = 'DONE' THEN ''
          ELSE v.error END,
        last_error = CASE WHEN v.verdict = 'CANCELLED' OR v.status = 'DONE' THEN j.last_error ELSE v.error END,
        next_run_at = CASE WHEN v.verdict = 'RETRYING' THEN now() + interval '1 millisecond' * coalesce(v.delay_ms,
          ${backoffMs(sql, backoff)}) ELSE j.next_run_at END,
        -- Who did it stays on a DONE row, as Django leaves it.
        locked_by = CASE WHEN v.verdict = 'ACCEPTED' AND v.status = 'DONE' THEN j.locked_by END,
        locked_at = CASE WHEN v.verdict = 'ACCEPTED' AND v.status = 'DONE' THEN j.locked_at END,
        lease_expires_at = CASE WHEN v.verdict = 'ACCEPTED' AND v.status = 'DONE' THEN j.lease_expires_at END,
        finished_at = CASE WHEN v.verdict <> 'RETRYING' THEN now() END,
        lease_token = NULL, settled_token = v.token,
        settled_as = CASE WHEN v.verdict = 'CANCELLED' THEN 'CANCELLED' ELSE v.status END,
        returns = 0, updated_at = now(), move = j.move + 1
      FROM verdict v WHERE v.settles AND j.id = v.id AND ${among(sql, "j.id", "job")}
      RETURNING j.id, j.status, j.job_type, j.priority, j.next_run_at,
        CASE WHEN j.status = 'PENDING' THEN octet_length(j.payload::text) END AS bytes
    ), lease AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM settled))
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM settled WHERE status = 'PENDING' ON CONFLICT DO NOTHING
    ), result AS (
      INSERT INTO ai_result (created_at, updated_at, payload, job_id)
      SELECT now(), now(), v.result::jsonb, v.id FROM verdict v WHERE v.settles AND v.verdict = 'ACCEPTED'
      -- Only a row that Django's FAILED left behind can be in the way.
      ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload, updated_at = excluded.updated_at
    )
    SELECT v.job_id, v.verdict, s.job_type, CASE WHEN s.id IS NOT NULL THEN v.attempt_count END AS attempt,
      s.status AS to, CASE WHEN s.id IS NOT NULL THEN extract(epoch FROM now() - v.locked_at)::float8 * 1000 END
        AS duration_ms
    FROM verdict v LEFT JOIN settled s ON s.id = v.id AND v.settles ORDER BY v.ord`;
}

/** job/retry.ts's backoffMs in SQL, for the row `j`; a test holds the two together. */
export function backoffMs(sql: Sql, backoff: Backoff) {
  return sql`round((least(${backoff.maxMs}::float8, ${backoff.baseMs}::float8
    * 2 ^ least(30, greatest(0, j.attempt_count - 1))) * (1 + ${backoff.jitter}::float8 * random()))::numeric)::float8`;
}

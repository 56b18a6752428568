/** Move: an operator starts ended jobs again. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, lockedJobs, movedSince } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { Retried } from "./rows.ts";

/**
 * FAILED and CANCELLED jobs are PENDING at once with a fresh attempt budget; a result row goes to ai_result_archive in
 * the same statement. Others stay as they are. Answers in the order of `jobIds`.
 */
export async function retry(sql: Sql, jobIds: string[]): Promise<Retried[]> {
  const rows = await untilSeen(jobIds, (ids) => retryStatement(sql, ids));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : r.job_type === null ? "NOT_RETRYABLE" : "RETRIED",
    status: r.to,
    type: r.job_type,
    attempt: r.job_type === null ? null : 0,
    to: r.job_type === null ? null : r.to,
    durationMs: null,
  }));
}

interface RetryRow {
  job_id: string;
  was: Status | null;
  to: Status | null;
  job_type: string | null;
  moved: boolean;
}

function retryStatement(sql: Sql, jobIds: string[]) {
  return sql<RetryRow[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), job AS MATERIALIZED (
      SELECT *, ${movedSince(sql)} AS moved, status IN ('FAILED', 'CANCELLED') AS ended
      FROM (${lockedJobs(sql, "input")}) j
    ), old AS (
      DELETE FROM ai_result r USING job j
      WHERE r.job_id = j.id AND j.ended AND NOT j.moved AND ${among(sql, "r.job_id", "job")}
      RETURNING r.*
    ), archive AS (
      INSERT INTO ai_result_archive (job_id, status, attempt_count, error_message, payload, created_at)
      SELECT j.job_id, j.status, j.attempt_count, j.error_message, o.payload, o.created_at
      FROM old o JOIN job j ON j.id = o.job_id
    ), again AS (
      UPDATE ai_job j SET status = 'PENDING', attempt_count = 0, returns = 0, error_message = '', next_run_at = now(),
        finished_at = NULL, cancel_requested_at = NULL, cancel_reason = NULL, locked_by = NULL, locked_at = NULL,
        lease_expires_at = NULL, updated_at = now(), move = j.move + 1
      FROM job o WHERE j.id = o.id AND o.ended AND NOT o.moved AND ${among(sql, "j.id", "job")}
      RETURNING j.id, j.job_type, j.priority, j.next_run_at, octet_length(j.payload::text) AS bytes
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM again ON CONFLICT DO NOTHING
    )
    SELECT i.job_id, j.status AS was, CASE WHEN a.id IS NULL THEN j.status ELSE 'PENDING' END AS to, a.job_type,
      coalesce(j.moved, false) AS moved
    FROM input i LEFT JOIN job j ON j.job_id = i.job_id LEFT JOIN again a ON a.id = j.id ORDER BY i.ord`;
}

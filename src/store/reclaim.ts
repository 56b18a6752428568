/** Move: leases that ran out, and cancelled jobs whose worker did not stop in time, are taken back. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, jobOf } from "./lookups.ts";
import type { Reclaimed } from "./rows.ts";

/**
 * Takes back up to `limit` leases. A job with attempts left is PENDING again at once; one without is FAILED
 * (`max_attempts_exceeded`); one to be cancelled is CANCELLED. Never waits for a lock: what another holds is skipped.
 */
export async function reclaim(sql: Sql, limit: number): Promise<Reclaimed[]> {
  const rows = await sql<
    {
      job_id: string;
      job_type: string;
      attempt_count: number;
      status: Status;
      worker_id: string | null;
      duration_ms: number | null;
    }[]
  >`
    WITH expired AS MATERIALIZED (
      SELECT l.id, j.locked_by, j.locked_at, j.lease_token,
        CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
          WHEN j.attempt_count >= coalesce(nullif(j.max_attempts, 0), 5) THEN 'FAILED' ELSE 'PENDING' END AS next
      -- Sorted before the jobs are looked up: a sort above would lock the jobs of all expired leases.
      FROM (SELECT id FROM ai_lease WHERE expires_at < now() OR cancel_at < now() ORDER BY expires_at, id) l
      CROSS JOIN LATERAL (${jobOf(sql, "l.id", "RUNNING")}) j
      LIMIT ${limit}
      FOR UPDATE OF l, j SKIP LOCKED
    ), back AS (
      UPDATE ai_job j SET status = e.next,
        error_message = CASE WHEN e.next = 'FAILED' AND j.error_message = '' THEN 'max_attempts_exceeded'
          ELSE j.error_message END,
        last_error = CASE WHEN e.next = 'FAILED' AND j.last_error = '' THEN 'max_attempts_exceeded'
          ELSE j.last_error END,
        locked_by = NULL, locked_at = NULL, lease_expires_at = NULL, lease_token = NULL,
        settled_token = CASE WHEN e.next = 'CANCELLED' THEN e.lease_token END,
        settled_as = CASE WHEN e.next = 'CANCELLED' THEN 'CANCELLED' END,
        finished_at = CASE WHEN e.next <> 'PENDING' THEN now() END,
        returns = 0, updated_at = now(), move = j.move + 1
      FROM expired e WHERE j.id = e.id AND ${among(sql, "j.id", "expired")}
      RETURNING j.id, j.job_id, j.job_type, j.priority, j.next_run_at, j.status, j.attempt_count, e.locked_by,
        e.locked_at, octet_length(j.payload::text) AS bytes
    ), lease AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM expired))
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM back WHERE status = 'PENDING' ON CONFLICT DO NOTHING
    )
    SELECT job_id, job_type, attempt_count, status, locked_by AS worker_id,
      extract(epoch FROM now() - locked_at)::float8 * 1000 AS duration_ms
    FROM back ORDER BY id`;
  return rows.map((r) => ({
    jobId: r.job_id,
    type: r.job_type,
    attempt: r.attempt_count,
    to: r.status,
    durationMs: r.duration_ms,
    workerId: r.worker_id,
  }));
}

/** Move: an operator ends jobs. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import type { Cancelled } from "./rows.ts";

/**
 * A PENDING job is CANCELLED at once. A RUNNING one is asked to stop: its worker hears it with the next heartbeat, and
 * after graceMs a reclaim ends it anyway. An ended job stays as it is. Answers in the order of `jobIds`.
 */
export async function cancel(sql: Sql, jobIds: string[], reason: string, graceMs: number): Promise<Cancelled[]> {
  const rows = await sql<
    { job_id: string; was: Status | null; to: Status | null; job_type: string | null; attempt: number | null }[]
  >`
    WITH job AS MATERIALIZED (
      SELECT * FROM ai_job WHERE job_id = ANY (${jobIds}::text[]) ORDER BY id FOR NO KEY UPDATE
    ), asked AS (
      UPDATE ai_job j SET status = CASE o.status WHEN 'PENDING' THEN 'CANCELLED' ELSE j.status END,
        finished_at = CASE o.status WHEN 'PENDING' THEN now() END,
        cancel_requested_at = coalesce(j.cancel_requested_at, now()),
        cancel_reason = coalesce(j.cancel_reason, ${reason}), updated_at = now(), move = j.move + 1
      FROM job o WHERE j.id = o.id AND o.status IN ('PENDING', 'RUNNING')
      RETURNING j.id, j.status, o.status AS was, j.job_type, j.priority, j.next_run_at, j.cancel_requested_at
    ), ready AS (
      DELETE FROM ai_ready r USING asked a WHERE a.was = 'PENDING' AND r.job_type = a.job_type
        AND r.priority = a.priority AND r.run_at = a.next_run_at AND r.id = a.id
    ), lease AS (
      UPDATE ai_lease l SET cancel_at = coalesce(l.cancel_at,
        a.cancel_requested_at + ${graceMs}::float8 * interval '1 millisecond')
      FROM asked a WHERE a.was = 'RUNNING' AND l.id = a.id
    )
    SELECT i.job_id, coalesce(a.was, j.status) AS was, coalesce(a.status, j.status) AS to, a.job_type,
      CASE WHEN a.id IS NOT NULL THEN j.attempt_count END AS attempt
    FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    LEFT JOIN job j ON j.job_id = i.job_id LEFT JOIN asked a ON a.id = j.id ORDER BY i.ord`;
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome:
      r.was === null ? "NOT_FOUND" : r.was === "PENDING" ? "CANCELLED" : r.was === "RUNNING" ? "REQUESTED" : "UNCHANGED",
    status: r.to,
    type: r.job_type,
    attempt: r.attempt,
    to: r.job_type === null ? null : r.to,
    durationMs: null,
  }));
}

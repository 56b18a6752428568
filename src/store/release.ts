/** Move: a worker gives jobs back unworked. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, lockedJobs } from "./lookups.ts";
import type { LeaseRef, Released } from "./rows.ts";

/**
 * Each job whose token is current is PENDING again at once and its attempt is not spent. After maxDeliveries hand-outs
 * in a row that came back so it is FAILED (`max_deliveries_exceeded`), so that a payload that kills its worker before
 * the work begins cannot go round for ever. Answers in the order of `leases`.
 */
export async function release(sql: Sql, leases: LeaseRef[], maxDeliveries: number): Promise<Released[]> {
  const rows = await sql<
    {
      job_id: string;
      released: boolean;
      job_type: string | null;
      attempt: number | null;
      to: Status | null;
      duration_ms: number | null;
    }[]
  >`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${leases.map((l) => l.jobId)}::text[], ${leases.map((l) => l.token)}::text[])
        WITH ORDINALITY AS i (job_id, token, ord)
    ), held AS MATERIALIZED (
      SELECT j.id, j.lease_token, j.locked_at, j.attempt_count,
        CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
          WHEN j.returns + 1 >= ${maxDeliveries} THEN 'FAILED' ELSE 'PENDING' END AS next
      FROM (${lockedJobs(sql, "input")}) j
      WHERE j.status = 'RUNNING'
        AND EXISTS (SELECT FROM input i WHERE i.job_id = j.job_id AND i.token = j.lease_token)
    ), given AS (
      UPDATE ai_job j SET status = h.next, attempt_count = greatest(0, j.attempt_count - 1), returns = j.returns + 1,
        error_message = CASE WHEN h.next = 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.error_message END,
        last_error = CASE WHEN h.next = 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.last_error END,
        locked_by = NULL, locked_at = NULL, lease_expires_at = NULL, lease_token = NULL,
        settled_token = CASE WHEN h.next = 'CANCELLED' THEN h.lease_token END,
        settled_as = CASE WHEN h.next = 'CANCELLED' THEN 'CANCELLED' END,
        finished_at = CASE WHEN h.next <> 'PENDING' THEN now() END, updated_at = now(), move = j.move + 1
      FROM held h WHERE j.id = h.id AND ${among(sql, "j.id", "held")}
      RETURNING j.id, j.job_id, j.status, j.job_type, j.priority, j.next_run_at, h.lease_token, h.locked_at,
        h.attempt_count AS attempt, octet_length(j.payload::text) AS bytes
    ), lease AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM given))
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM given WHERE status = 'PENDING' ON CONFLICT DO NOTHING
    )
    SELECT i.job_id, g.id IS NOT NULL AS released, g.job_type, g.attempt, g.status AS to,
      extract(epoch FROM now() - g.locked_at)::float8 * 1000 AS duration_ms
    FROM input i LEFT JOIN given g ON g.job_id = i.job_id AND g.lease_token = i.token ORDER BY i.ord`;
  return rows.map((r) => ({
    jobId: r.job_id,
    released: r.released,
    type: r.job_type,
    attempt: r.attempt,
    to: r.to,
    durationMs: r.duration_ms,
  }));
}

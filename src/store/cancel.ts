/** Move: an operator ends jobs. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, lockedJobs, movedSince, unready } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { Cancelled } from "./rows.ts";

/**
 * A PENDING job is CANCELLED at once. A RUNNING one is asked to stop: its worker hears it with the next heartbeat, and
 * after graceMs a reclaim ends it anyway. An ended job stays as it is. Answers in the order of `jobIds`.
 */
export async function cancel(sql: Sql, jobIds: string[], reason: string, graceMs: number): Promise<Cancelled[]> {
  const rows = await untilSeen(jobIds, (ids) => cancelStatement(sql, ids, reason, graceMs));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : (OUTCOMES[r.was] ?? "UNCHANGED"),
    status: r.to,
    type: r.job_type,
    attempt: r.attempt,
    to: r.job_type === null ? null : r.to,
    durationMs: null,
  }));
}

const OUTCOMES: Partial<Record<Status, Cancelled["outcome"]>> = { PENDING: "CANCELLED", RUNNING: "REQUESTED" };

interface CancelRow {
  job_id: string;
  was: Status | null;
  to: Status | null;
  job_type: string | null;
  attempt: number | null;
  moved: boolean;
}

function cancelStatement(sql: Sql, jobIds: string[], reason: string, graceMs: number) {
  return sql<CancelRow[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), job AS MATERIALIZED (
      SELECT *, ${movedSince(sql)} AS moved FROM (${lockedJobs(sql, "input")}) j
    ), asked AS (
      UPDATE ai_job j SET status = CASE o.status WHEN 'PENDING' THEN 'CANCELLED' ELSE j.status END,
        finished_at = CASE o.status WHEN 'PENDING' THEN now() END,
        cancel_requested_at = coalesce(j.cancel_requested_at, now()),
        cancel_reason = coalesce(j.cancel_reason, ${reason}), updated_at = now(), move = j.move + 1
      FROM job o WHERE j.id = o.id AND NOT o.moved AND o.status IN ('PENDING', 'RUNNING') AND ${among(sql, "j.id", "job")}
      RETURNING j.id, j.status, o.status AS was, j.job_type, j.priority, j.next_run_at, j.cancel_requested_at
    ), ready AS (
      ${unready(sql, "asked", "next_run_at")}
    ), lease AS (
      UPDATE ai_lease l SET cancel_at = coalesce(l.cancel_at,
        a.cancel_requested_at + ${graceMs}::float8 * interval '1 millisecond')
      FROM asked a WHERE a.was = 'RUNNING' AND l.id = a.id AND ${among(sql, "l.id", "asked")}
    )
    SELECT i.job_id, coalesce(a.was, j.status) AS was, coalesce(a.status, j.status) AS to, a.job_type,
      CASE WHEN a.id IS NOT NULL THEN j.attempt_count END AS attempt, coalesce(j.moved, false) AS moved
    FROM input i LEFT JOIN job j ON j.job_id = i.job_id LEFT JOIN asked a ON a.id = j.id ORDER BY i.ord`;
}

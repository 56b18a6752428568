/** Move: an operator starts ended jobs again. */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, movedSince, namedJobs } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { Retried } from "./rows.ts";

/**
 * FAILED and CANCELLED jobs are PENDING at once with a fresh attempt budget; a result row goes to ai_result_archive in
 * the same statement. Others stay as they are. Answers in the order of `jobIds`.
 */
export async function retry(sql: Sql, jobIds: string[], kept: KeptKinds = ALL_KINDS): Promise<Retried[]> {
  const rows = await untilSeen(jobIds, (ids) => retryStatement(sql, ids, kept));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : r.job_type === null ? "NOT_RETRYABLE" : "RETRIED",
    status: r.to,
    type: r.job_type,
    attempt: r.job_type === null ? null : 0,
    to: r.job_type === null ? null : r.to,
    durationMs: null,
    instanceId: null,
  }));
}

interface RetryRow {
  job_id: string;
  was: Status | null;
  to: Status | null;
  job_type: string | null;
  moved: boolean;
}

const RETRIED: EventColumns = { seq: "event_seq + 1", kind: "retried", attempt: "0", worker: "NULL", error: "NULL" };

function retryStatement(sql: Sql, jobIds: string[], kept: KeptKinds) {
  return sql<RetryRow[]>`
    WITH input AS MATERIALIZED (
      SELECT i.*, row_number() OVER (PARTITION BY job_id ORDER BY ord) = 1 AS first
      FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, j.id, j.status AS was, j.job_type, j.priority, j.attempt_count, j.error_message,
        j.event_seq, j.tenant_id, j.source_domain, j.source_id,
        octet_length(j.payload::text) AS bytes, m.moved,
        NOT m.moved AND j.status IN ('FAILED', 'CANCELLED') AS ended
      FROM ${namedJobs(sql, "input")} CROSS JOIN LATERAL (SELECT j.id IS NOT NULL AND ${movedSince(sql)} AS moved) m
    ), archive AS (
      INSERT INTO ai_result_archive (job_id, status, attempt_count, error_message, payload, created_at)
      SELECT m.job_id, m.was, m.attempt_count, m.error_message, r.payload, r.created_at
      FROM met m CROSS JOIN LATERAL (SELECT * FROM ai_result WHERE job_id = m.id OFFSET 0) r WHERE m.first AND m.ended
    ), old AS (
      DELETE FROM ai_result WHERE ${among(sql, "job_id", "met", "ended")}
    ), again AS (
      UPDATE ai_job j SET status = 'PENDING', attempt_count = 0, returns = 0, error_message = '', next_run_at = now(),
        finished_at = NULL, cancel_requested_at = NULL, cancel_reason = NULL, locked_by = NULL, locked_at = NULL,
        lease_expires_at = NULL, updated_at = now(), event_seq = j.event_seq + 1, move = j.move + 1
      WHERE ${among(sql, "j.id", "met", "ended")}
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, now(), id, bytes FROM met WHERE ended ON CONFLICT DO NOTHING
    )${eventsOf(sql, "event", sql`(SELECT * FROM met WHERE first AND ended) e`, RETRIED, kept)}
    SELECT job_id, was, CASE WHEN ended THEN 'PENDING' ELSE was END AS to, CASE WHEN ended THEN job_type END AS job_type,
      moved
    FROM met ORDER BY ord`;
}

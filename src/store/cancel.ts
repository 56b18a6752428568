/** Move: an operator ends jobs. */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, movedSince, namedJobs, unready } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { Cancelled } from "./rows.ts";

/**
 * A PENDING job is CANCELLED at once. A RUNNING one is asked to stop: its worker hears it with the next heartbeat, and
 * after graceMs a reclaim ends it anyway. An ended job stays as it is. Answers in the order of `jobIds`.
 */
export async function cancel(
  sql: Sql,
  jobIds: string[],
  reason: string,
  graceMs: number,
  kept: KeptKinds = ALL_KINDS,
): Promise<Cancelled[]> {
  const rows = await untilSeen(jobIds, (ids) => cancelStatement(sql, ids, reason, graceMs, kept));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : (OUTCOMES[r.was] ?? "UNCHANGED"),
    status: r.to,
    type: r.job_type,
    attempt: r.attempt,
    to: r.job_type === null ? null : r.to,
    durationMs: null,
    instanceId: r.instance_id,
    token: r.token,
  }));
}

const OUTCOMES: Partial<Record<Status, Cancelled["outcome"]>> = { PENDING: "CANCELLED", RUNNING: "REQUESTED" };

interface CancelRow {
  job_id: string;
  was: Status | null;
  to: Status | null;
  job_type: string | null;
  attempt: number | null;
  instance_id: string | null;
  token: string | null;
  moved: boolean;
}

const CANCELLED: EventColumns = {
  seq: "event_seq + 1",
  kind: "cancelled",
  attempt: "attempt_count",
  worker: "NULL",
  error: "NULL",
};

function cancelStatement(sql: Sql, jobIds: string[], reason: string, graceMs: number, kept: KeptKinds) {
  // The same id may be named twice.
  const ended = sql`(SELECT DISTINCT ON (id) * FROM met WHERE open AND was = 'PENDING' ORDER BY id) e`;
  return sql<CancelRow[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, j.id, j.status AS was, j.job_type, j.priority, j.next_run_at, j.attempt_count, j.lease_token,
        j.instance_id, j.event_seq, j.tenant_id, j.source_domain, j.source_id, m.moved, NOT m.moved AND j.status IN ('PENDING', 'RUNNING') AS open
      FROM ${namedJobs(sql, "input")} CROSS JOIN LATERAL (SELECT j.id IS NOT NULL AND ${movedSince(sql)} AS moved) m
    ), asked AS (
      UPDATE ai_job j SET status = CASE j.status WHEN 'PENDING' THEN 'CANCELLED' ELSE j.status END,
        finished_at = CASE j.status WHEN 'PENDING' THEN now() END,
        cancel_requested_at = coalesce(j.cancel_requested_at, now()),
        cancel_reason = coalesce(j.cancel_reason, ${reason}), updated_at = now(),
        event_seq = j.event_seq + CASE j.status WHEN 'PENDING' THEN 1 ELSE 0 END, move = j.move + 1
      WHERE ${among(sql, "j.id", "met", "open")}
    ), ready AS (
      ${unready(sql, "met", "next_run_at", "open")}
    ), lease AS (
      UPDATE ai_lease SET cancel_at = coalesce(cancel_at, now() + ${graceMs}::float8 * interval '1 millisecond')
      WHERE ${among(sql, "id", "met", "open AND was = 'RUNNING'")}
    )${eventsOf(sql, "event", ended, CANCELLED, kept)}
    SELECT job_id, was, CASE WHEN open AND was = 'PENDING' THEN 'CANCELLED' ELSE was END AS to,
      CASE WHEN open THEN job_type END AS job_type, CASE WHEN open THEN attempt_count END AS attempt,
      CASE WHEN open THEN lease_token END AS token, CASE WHEN open THEN instance_id END AS instance_id, moved
    FROM met ORDER BY ord`;
}

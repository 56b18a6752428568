/** Move: a worker gives jobs back unworked. */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, namedJobs } from "./lookups.ts";
import type { LeaseRef, Released } from "./rows.ts";
import { quickly } from "./statement-text.ts";

const RELEASED: EventColumns = {
  seq: "event_seq + 1",
  kind: "released",
  status: "next",
  attempt: "greatest(0, attempt_count - 1)",
  worker: "locked_by",
  error: "CASE next WHEN 'FAILED' THEN 'max_deliveries_exceeded' END",
};

/**
 * Each job whose token is current is PENDING again at once and its attempt is not spent. After maxDeliveries hand-outs
 * in a row that came back so it is FAILED (`max_deliveries_exceeded`), so that a payload that kills its worker before
 * the work begins cannot go round for ever. unseenOnly: but not leases that had a heartbeat since their claim, for their
 * worker has seen them. Answers in the order of `leases`.
 */
export async function release(
  pool: Sql,
  leases: LeaseRef[],
  maxDeliveries: number,
  unseenOnly = false,
  kept: KeptKinds = ALL_KINDS,
): Promise<Released[]> {
  const sql = quickly(pool);
  const next = sql`(CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
    WHEN j.returns + 1 >= ${maxDeliveries} THEN 'FAILED' ELSE 'PENDING' END)`;
  // The same lease may be named twice.
  const given = sql`(SELECT DISTINCT ON (id) * FROM met WHERE held ORDER BY id) e`;
  const rows = await sql<
    {
      job_id: string;
      released: boolean;
      job_type: string | null;
      attempt: number | null;
      to: Status | null;
      duration_ms: number | null;
      instance_id: string | null;
    }[]
  >`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${leases.map((l) => l.jobId)}::text[], ${leases.map((l) => l.token)}::text[])
        WITH ORDINALITY AS i (job_id, token, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, j.id, j.job_type, j.priority, j.next_run_at, j.locked_at, j.attempt_count, j.instance_id,
        j.event_seq, j.tenant_id, j.source_domain, j.source_id, j.locked_by,
        octet_length(j.payload::text) AS bytes, ${next} AS next,
        coalesce(j.status = 'RUNNING' AND j.lease_token = i.token
          AND (j.last_heartbeat_at = j.locked_at OR NOT ${unseenOnly}::boolean), false) AS held
      FROM ${namedJobs(sql, "input")}
    ), given AS (
      UPDATE ai_job j SET status = ${next}, attempt_count = greatest(0, j.attempt_count - 1), returns = j.returns + 1,
        error_message = CASE ${next} WHEN 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.error_message END,
        last_error = CASE ${next} WHEN 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.last_error END,
        locked_by = NULL, locked_at = NULL, lease_expires_at = NULL, lease_token = NULL, instance_id = NULL,
        settled_token = CASE ${next} WHEN 'CANCELLED' THEN j.lease_token END,
        settled_as = CASE ${next} WHEN 'CANCELLED' THEN 'CANCELLED' END,
        finished_at = CASE WHEN ${next} <> 'PENDING' THEN now() END, updated_at = now(), event_seq = j.event_seq + 1,
        move = j.move + 1
      WHERE ${among(sql, "j.id", "met", "held")}
    ), lease AS (
      DELETE FROM ai_lease WHERE ${among(sql, "id", "met", "held")}
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM met WHERE held AND next = 'PENDING' ON CONFLICT DO NOTHING
    )${eventsOf(sql, "event", given, RELEASED, kept)}
    SELECT job_id, held AS released, CASE WHEN held THEN job_type END AS job_type,
      CASE WHEN held THEN attempt_count END AS attempt, CASE WHEN held THEN next END AS to,
      CASE WHEN held THEN instance_id END AS instance_id,
      CASE WHEN held THEN extract(epoch FROM now() - locked_at)::float8 * 1000 END AS duration_ms
    FROM met ORDER BY ord`;
  return rows.map((r) => ({
    jobId: r.job_id,
    released: r.released,
    type: r.job_type,
    attempt: r.attempt,
    to: r.to,
    durationMs: r.duration_ms,
    instanceId: r.instance_id,
  }));
}

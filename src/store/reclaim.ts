/** Move: leases that ran out, that nobody holds any more, or whose worker did not stop in time, are taken back. */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, jobOf } from "./lookups.ts";
import type { Reclaimed } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/**
 * Takes back up to `limit` leases. A job with attempts left is PENDING again at once; one without is FAILED
 * (`max_attempts_exceeded`); one to be cancelled is CANCELLED. Never waits for a lock: what another holds is skipped.
 */
export async function reclaim(pool: Sql, limit: number, kept: KeptKinds = ALL_KINDS): Promise<Reclaimed[]> {
  const sql = quickly(pool);
  const rows = await sql<ReclaimRow[]>`
    WITH lapsed AS MATERIALIZED (
      SELECT ${ending(sql)}
      -- Sorted before the jobs are looked up: a sort above would lock the jobs of all expired leases.
      FROM (SELECT id FROM ai_lease WHERE expires_at < now() OR cancel_at < now() ORDER BY expires_at, id) l
      CROSS JOIN LATERAL (${jobOf(sql, "l.id", "RUNNING")}) j
      LIMIT ${limit}
      FOR UPDATE OF l, j SKIP LOCKED
    ), ${takenBack(sql, kept)}`;
  return rows.map(toReclaimed);
}

/** The leases of a Work stream's instance that its worker still works on. */
export interface StillHeld {
  instanceId: string;
  /** The stream that says so: nothing is taken back when it is no longer the current one. Absent: whichever is. */
  sessionId?: string;
  /** Ids of jobs whose token the worker has and which is current; any instance's are kept for all. */
  held: string[];
}

/**
 * Takes back, as when they had run out, the leases that were pushed to these instances and that no worker still holds:
 * a worker that came back without them has lost them. To be called before the new session gets its first seat.
 */
export async function reclaimUnheld(
  sql: Sql,
  instances: StillHeld[],
  kept: KeptKinds = ALL_KINDS,
): Promise<Reclaimed[]> {
  const rows = await sql<ReclaimRow[]>`
    WITH held AS MATERIALIZED (
      SELECT DISTINCT job_id FROM unnest(${instances.flatMap(({ held }) => held)}::text[]) AS h (job_id)
    ), lapsed AS MATERIALIZED (
      SELECT ${ending(sql)}
      FROM (SELECT DISTINCT instance_id, session_id FROM unnest(${instances.map((i) => i.instanceId)}::text[],
        ${instances.map((i) => i.sessionId ?? null)}::text[]) AS i (instance_id, session_id)) i
      LEFT JOIN LATERAL (SELECT session_id FROM ai_session WHERE instance_id = i.instance_id OFFSET 0) s ON true
      CROSS JOIN LATERAL (SELECT id, instance_id FROM ai_lease WHERE instance_id = i.instance_id OFFSET 0) l
      CROSS JOIN LATERAL (${jobOf(sql, "l.id", "RUNNING")}) j
      -- A lease that Django took over is not this instance's, whatever its row says.
      WHERE j.instance_id = l.instance_id AND j.job_id NOT IN (SELECT job_id FROM held)
        AND coalesce(s.session_id = i.session_id, true)
      FOR UPDATE OF l, j SKIP LOCKED
    ), ${takenBack(sql, kept)}`;
  return rows.map(toReclaimed);
}

interface ReclaimRow {
  job_id: string;
  job_type: string;
  attempt_count: number;
  status: Status;
  worker_id: string | null;
  duration_ms: number | null;
  token: string | null;
  instance_id: string | null;
}

function toReclaimed(row: ReclaimRow): Reclaimed {
  return {
    jobId: row.job_id,
    type: row.job_type,
    attempt: row.attempt_count,
    to: row.status,
    durationMs: row.duration_ms,
    workerId: row.worker_id,
    token: row.token,
    instanceId: row.instance_id,
  };
}

/** What is kept of a lease `l` of job `j`, and what becomes of the job. */
function ending(sql: Sql) {
  return sql`l.id, j.job_id, j.job_type, j.priority, j.next_run_at, j.attempt_count, j.locked_by, j.locked_at,
    j.lease_token, j.instance_id, j.event_seq, j.tenant_id, j.source_domain, j.source_id, j.last_error, octet_length(j.payload::text) AS bytes, ${next(sql)} AS next`;
}

/** The state that follows, by the locked row `j`. */
function next(sql: Sql) {
  return sql`CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
    WHEN j.attempt_count >= coalesce(nullif(j.max_attempts, 0), 5) THEN 'FAILED' ELSE 'PENDING' END`;
}

/**
 * Ends the leases in the CTE `lapsed`, whose jobs and lease rows are locked, and answers with them. The job is updated
 * by its own row alone, since a join could compare each job with each lease (claim-statement.ts).
 */
const BACK: EventColumns = {
  seq: "event_seq + 1",
  kind: "reclaimed",
  status: "next",
  attempt: "attempt_count",
  worker: "locked_by",
  error: "CASE next WHEN 'FAILED' THEN coalesce(nullif(last_error, ''), 'max_attempts_exceeded') END",
};

function takenBack(sql: Sql, kept: KeptKinds) {
  return sql`
    back AS (
      UPDATE ai_job j SET status = ${next(sql)},
        error_message = CASE WHEN ${next(sql)} = 'FAILED' AND j.error_message = '' THEN 'max_attempts_exceeded'
          ELSE j.error_message END,
        last_error = CASE WHEN ${next(sql)} = 'FAILED' AND j.last_error = '' THEN 'max_attempts_exceeded'
          ELSE j.last_error END,
        locked_by = NULL, locked_at = NULL, lease_expires_at = NULL, lease_token = NULL, instance_id = NULL,
        settled_token = CASE WHEN j.cancel_requested_at IS NOT NULL THEN j.lease_token END,
        settled_as = CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED' END,
        finished_at = CASE WHEN ${next(sql)} <> 'PENDING' THEN now() END,
        returns = 0, updated_at = now(), event_seq = j.event_seq + 1, move = j.move + 1
      WHERE ${among(sql, "j.id", "lapsed")}
    ), lease AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM lapsed))
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM lapsed WHERE next = 'PENDING' ON CONFLICT DO NOTHING
    )${eventsOf(sql, "event", sql`lapsed`, BACK, kept)}
    SELECT job_id, job_type, attempt_count, next AS status, locked_by AS worker_id,
      extract(epoch FROM now() - locked_at)::float8 * 1000 AS duration_ms, lease_token AS token, instance_id
    FROM lapsed ORDER BY id`;
}

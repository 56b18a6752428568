/** Moves: a worker gives jobs back unworked, or an operator takes them from whoever has them. */
import type { Fragment } from "postgres";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, movedSince, namedJobs } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { LeaseRef, Released, Taken } from "./rows.ts";
import { quickly } from "./statement-text.ts";

const RELEASED: EventColumns = {
  seq: "event_seq + 1",
  kind: "released",
  status: "next",
  attempt: "greatest(0, attempt_count - 1)",
  worker: "locked_by",
  error: "CASE next WHEN 'FAILED' THEN 'max_deliveries_exceeded' ELSE nullif(reason, '') END",
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
  const rows = await sql<(TraceRow & { job_id: string; released: boolean })[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${leases.map((l) => l.jobId)}::text[], ${leases.map((l) => l.token)}::text[])
        WITH ORDINALITY AS i (job_id, token, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, ${facts(sql, maxDeliveries)}, '' AS reason,
        coalesce(j.status = 'RUNNING' AND j.lease_token = i.token
          AND (j.last_heartbeat_at = j.locked_at OR NOT ${unseenOnly}::boolean), false) AS held
      FROM ${namedJobs(sql, "input")}
    ), ${givenBack(sql, maxDeliveries, sql`j.next_run_at`, sql`next_run_at`, kept)}
    SELECT job_id, held AS released, ${traced(sql)} FROM met ORDER BY ord`;
  return rows.map((r) => ({ jobId: r.job_id, released: r.released, ...toTrace(r) }));
}

/** What an operator says of a release. */
export interface Taking {
  reason: string;
  /** How long the job is not to be claimed again; 0: it keeps its place in the queue. */
  delayMs: number;
  maxDeliveries: number;
}

/**
 * As `release`, by id: each RUNNING job goes back, whoever has its lease and however long it still runs. The token goes
 * with it, so that nothing its worker still says counts. Answers in the order of `jobIds`.
 */
export async function releaseJobs(
  sql: Sql,
  jobIds: string[],
  taking: Taking,
  kept: KeptKinds = ALL_KINDS,
): Promise<Taken[]> {
  const rows = await untilSeen(jobIds, (ids) => releaseJobsStatement(sql, ids, taking, kept));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : r.held ? "RELEASED" : "UNCHANGED",
    status: r.held ? r.to : r.was,
    workerId: r.held ? r.locked_by : null,
    token: r.held ? r.lease_token : null,
    ...toTrace(r),
  }));
}

interface TakenRow extends TraceRow {
  job_id: string;
  was: Status | null;
  held: boolean;
  locked_by: string | null;
  lease_token: string | null;
  moved: boolean;
}

function releaseJobsStatement(pool: Sql, jobIds: string[], taking: Taking, kept: KeptKinds) {
  const sql = quickly(pool);
  const { reason, delayMs, maxDeliveries } = taking;
  const later = sql`CASE WHEN ${delayMs}::float8 > 0 THEN now() + ${delayMs}::float8 * interval '1 millisecond' END`;
  return sql<TakenRow[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, ${facts(sql, maxDeliveries)}, ${reason}::text AS reason, j.status AS was, j.lease_token, m.moved,
        NOT m.moved AND coalesce(j.status = 'RUNNING', false) AS held
      FROM ${namedJobs(sql, "input")} CROSS JOIN LATERAL (SELECT j.id IS NOT NULL AND ${movedSince(sql)} AS moved) m
    ), ${givenBack(sql, maxDeliveries, sql`coalesce(${later}, j.next_run_at)`, sql`coalesce(${later}, next_run_at)`, kept)}
    SELECT job_id, was, held, locked_by, lease_token, moved, ${traced(sql)} FROM met ORDER BY ord`;
}

/** What becomes of the locked job `j`. */
function nextOf(sql: Sql, maxDeliveries: number): Fragment {
  return sql`(CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
    WHEN j.returns + 1 >= ${maxDeliveries} THEN 'FAILED' ELSE 'PENDING' END)`;
}

/** What is kept of it. */
function facts(sql: Sql, maxDeliveries: number): Fragment {
  return sql`j.id, j.job_type, j.priority, j.next_run_at, j.locked_at, j.attempt_count, j.instance_id,
    j.event_seq, j.tenant_id, j.source_domain, j.source_id, j.locked_by, octet_length(j.payload::text) AS bytes,
    ${nextOf(sql, maxDeliveries)} AS next`;
}

/** CTEs that move the jobs of the CTE `met` that are `held`; when each is due, by its job `j` and by its row there. */
function givenBack(sql: Sql, maxDeliveries: number, runAt: Fragment, runAtOfMet: Fragment, kept: KeptKinds): Fragment {
  const next = nextOf(sql, maxDeliveries);
  // The same job may be named twice.
  const given = sql`(SELECT DISTINCT ON (id) * FROM met WHERE held ORDER BY id) e`;
  return sql`
    given AS (
      UPDATE ai_job j SET status = ${next}, attempt_count = greatest(0, j.attempt_count - 1), returns = j.returns + 1,
        error_message = CASE ${next} WHEN 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.error_message END,
        last_error = CASE ${next} WHEN 'FAILED' THEN 'max_deliveries_exceeded' ELSE j.last_error END,
        next_run_at = CASE ${next} WHEN 'PENDING' THEN ${runAt} ELSE j.next_run_at END,
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
      SELECT job_type, priority, ${runAtOfMet}, id, bytes FROM met WHERE held AND next = 'PENDING' ON CONFLICT DO NOTHING
    )${eventsOf(sql, "event", given, RELEASED, kept)}`;
}

/** Of a row of `met`, for whoever logs and wakes. */
function traced(sql: Sql): Fragment {
  return sql`CASE WHEN held THEN job_type END AS job_type, CASE WHEN held THEN attempt_count END AS attempt,
    CASE WHEN held THEN next END AS to, CASE WHEN held THEN instance_id END AS instance_id,
    CASE WHEN held THEN extract(epoch FROM now() - locked_at)::float8 * 1000 END AS duration_ms`;
}

interface TraceRow {
  job_type: string | null;
  attempt: number | null;
  to: Status | null;
  duration_ms: number | null;
  instance_id: string | null;
}

function toTrace({ job_type: type, attempt, to, duration_ms: durationMs, instance_id: instanceId }: TraceRow) {
  return { type, attempt, to, durationMs, instanceId };
}

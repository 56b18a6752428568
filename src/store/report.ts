/** Move: an attempt ends as its worker says, if its lease is still the job's. */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Backoff } from "../job/retry.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, namedJobs } from "./lookups.ts";
import { unlessInTheWay } from "./retry-statement.ts";
import type { Report, Reported, ReportStatus } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/**
 * Settles each report in one statement: state, result row and queue rows together. Answers in the order of `reports`;
 * the rules stand in the order of the contract's table, the first that fits decides.
 */
export async function report(
  sql: Sql,
  reports: Report[],
  backoff: Backoff,
  kept: KeptKinds = ALL_KINDS,
): Promise<Reported[]> {
  const rows = await unlessInTheWay((wary) => reportStatement(quickly(sql), reports, backoff, kept, wary));
  return rows.map((r) => ({
    jobId: r.job_id,
    status: r.verdict,
    type: r.job_type,
    attempt: r.attempt,
    to: r.to,
    durationMs: r.duration_ms,
    ageMs: r.age_ms,
    instanceId: r.instance_id,
  }));
}

interface ReportRow {
  job_id: string;
  verdict: ReportStatus;
  job_type: string | null;
  attempt: number | null;
  to: Status | null;
  duration_ms: number | null;
  age_ms: number | null;
  instance_id: string | null;
}

const SETTLED: EventColumns = {
  seq: "event_seq + 1",
  kind: "retrying",
  status: "next",
  attempt: "attempt_count",
  worker: "locked_by",
  error: "CASE WHEN next IN ('PENDING', 'FAILED') THEN error END",
};

/** Of a job's columns before it is settled (rows.ts, Age): a retry has moved next_run_at on. */
export const AGE_MS = `extract(epoch FROM now() - CASE WHEN attempt_count <= 1 THEN greatest(created_at, next_run_at)
  ELSE created_at END)::float8 * 1000`;

/** Only a row that Django's FAILED left behind can be in the way of a result. */
const OVER = `ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload, updated_at = excluded.updated_at`;

function reportStatement(sql: Sql, reports: Report[], backoff: Backoff, kept: KeptKinds, wary: boolean) {
  // Of the job `j`, before it is settled: what its report says of a failure, if it says so and no cancel comes first.
  const failure = sql`(SELECT by_job FROM failure) -> j.id::text`;
  const cancelled = sql`j.cancel_requested_at IS NOT NULL`;
  const done = sql`j.cancel_requested_at IS NULL AND ${failure} IS NULL`;
  return sql<ReportRow[]>`
    WITH ${judged(sql, reports)}, failure AS MATERIALIZED (
      SELECT jsonb_object_agg(id, jsonb_build_array(next, error, delay_ms)) AS by_job FROM verdict
      WHERE settles AND status = 'FAILED' AND next <> 'CANCELLED'
    ), settled AS (
      UPDATE ai_job j SET
        status = CASE WHEN ${cancelled} THEN 'CANCELLED' ELSE coalesce(${failure} ->> 0, 'DONE') END,
        error_message = CASE WHEN ${cancelled} THEN j.error_message ELSE coalesce(${failure} ->> 1, '') END,
        last_error = coalesce(${failure} ->> 1, j.last_error),
        next_run_at = CASE ${failure} ->> 0 WHEN 'PENDING' THEN now() + interval '1 millisecond'
          * coalesce((${failure} ->> 2)::float8, ${backoffMs(sql, backoff)}) ELSE j.next_run_at END,
        -- Who did it stays on a DONE row, as Django leaves it.
        locked_by = CASE WHEN ${done} THEN j.locked_by END, locked_at = CASE WHEN ${done} THEN j.locked_at END,
        lease_expires_at = CASE WHEN ${done} THEN j.lease_expires_at END,
        instance_id = CASE WHEN ${done} THEN j.instance_id END,
        finished_at = CASE WHEN ${failure} ->> 0 IS DISTINCT FROM 'PENDING' THEN now() END,
        lease_token = NULL, settled_token = j.lease_token,
        settled_as = CASE WHEN ${cancelled} THEN 'CANCELLED' WHEN ${done} THEN 'DONE' ELSE 'FAILED' END,
        returns = 0, updated_at = now(), event_seq = j.event_seq + 1, move = j.move + 1
      WHERE ${among(sql, "j.id", "verdict", "settles")}
      RETURNING j.id, j.status, j.job_type, j.priority, j.next_run_at,
        CASE WHEN j.status = 'PENDING' THEN octet_length(j.payload::text) END AS bytes
    ), lease AS (
      DELETE FROM ai_lease WHERE ${among(sql, "id", "verdict", "settles")}
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM settled WHERE status = 'PENDING' ON CONFLICT DO NOTHING
    ), result AS (
      INSERT INTO ai_result (created_at, updated_at, payload, job_id)
      SELECT now(), now(), v.result::jsonb, v.id FROM verdict v WHERE v.settles AND v.verdict = 'ACCEPTED'
      ${wary ? sql.unsafe(OVER) : sql``}
    )${eventsOf(sql, "event", sql`(SELECT * FROM verdict WHERE settles) v`, SETTLED, kept)}
    SELECT job_id, verdict, next AS to, CASE WHEN settles THEN job_type END AS job_type,
      CASE WHEN settles THEN attempt_count END AS attempt, CASE WHEN settles THEN instance_id END AS instance_id,
      CASE WHEN settles THEN extract(epoch FROM now() - locked_at)::float8 * 1000 END AS duration_ms,
      CASE WHEN settles THEN ${sql.unsafe(AGE_MS)} END AS age_ms
    FROM verdict ORDER BY ord`;
}

/** CTEs up to `verdict`: each report with its job, locked, and what becomes of it. */
function judged(sql: Sql, reports: Report[]) {
  const twins = hasTwins(reports);
  return sql`
    input AS MATERIALIZED (
      SELECT i.*, ${turnsOf(sql, twins)}
      FROM unnest(${reports.map((r) => r.jobId)}::text[], ${reports.map((r) => r.token)}::text[],
        ${reports.map((r) => r.status)}::text[], ${reports.map((r) => r.result)}::text[],
        ${reports.map((r) => r.error)}::text[], ${reports.map((r) => (r.retryable ? "t" : "f"))}::text[],
        ${reports.map((r) => (r.retryDelayMs === null ? null : String(r.retryDelayMs)))}::text[]
      ) WITH ORDINALITY AS i (job_id, token, status, result, error, retryable, delay_ms, ord)
      ${twins ? sql`WINDOW twin AS (PARTITION BY i.job_id, i.token ORDER BY i.ord)` : sql``}
    ), verdict AS MATERIALIZED (
      SELECT id, settles, verdict, job_id, ord, CASE WHEN settles THEN CASE verdict WHEN 'RETRYING' THEN 'PENDING'
          WHEN 'CANCELLED' THEN 'CANCELLED' ELSE status END END AS next, status, result, error,
        delay_ms::float8 AS delay_ms, job_type, attempt_count, locked_at, instance_id, created_at, next_run_at, event_seq,
        tenant_id, source_domain, source_id, locked_by
      FROM (
        SELECT i.ord, i.job_id, i.status, i.result, i.error, i.delay_ms, j.id, j.job_type, j.attempt_count, j.locked_at,
          j.instance_id, j.created_at, j.next_run_at, j.event_seq, j.tenant_id, j.source_domain, j.source_id, j.locked_by,
          coalesce(j.status = 'RUNNING' AND j.lease_token = i.token AND i.turn = 1, false) AS settles,
          CASE WHEN j.id IS NULL THEN 'NOT_FOUND'
            WHEN j.settled_token = i.token THEN
              CASE j.settled_as WHEN 'CANCELLED' THEN 'CANCELLED' WHEN i.status THEN 'DUPLICATE' ELSE 'CONFLICT' END
            WHEN j.status <> 'RUNNING' OR j.lease_token IS DISTINCT FROM i.token THEN 'LEASE_LOST'
            WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
            WHEN i.turn > 1 THEN CASE WHEN i.status = i.first_status THEN 'DUPLICATE' ELSE 'CONFLICT' END
            WHEN i.status = 'FAILED' AND i.retryable = 't' AND j.attempt_count < coalesce(nullif(j.max_attempts, 0), 5)
              THEN 'RETRYING'
            ELSE 'ACCEPTED' END AS verdict
        FROM ${namedJobs(sql, "input")} OFFSET 0
      ) met
    )`;
}

/** Which of the reports of one attempt in this batch it is, and what the first of them says. */
function turnsOf(sql: Sql, twins: boolean) {
  if (!twins) return sql`1 AS turn, i.status AS first_status`;
  return sql`row_number() OVER twin AS turn, first_value(i.status) OVER twin AS first_status`;
}

/** Whether there are any: sorting all for it took a tenth of the statement. */
function hasTwins(reports: Report[]): boolean {
  return new Set(reports.map(({ jobId, token }) => `${jobId} ${token}`)).size < reports.length;
}

/** job/retry.ts's backoffMs in SQL, for the row `j`; a test holds the two together. */
export function backoffMs(sql: Sql, backoff: Backoff) {
  return sql`round((least(${backoff.maxMs}::float8, ${backoff.baseMs}::float8
    * 2 ^ least(30, greatest(0, j.attempt_count - 1))) * (1 + ${backoff.jitter}::float8 * random()))::numeric)::float8`;
}

/** Move: a report by a worker that knows no lease token; job_id and worker id decide (the REST shim's rules). */
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Backoff } from "../job/retry.ts";
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { among, movedSince, unready } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import { AGE_MS, backoffMs } from "./report.ts";
import type { LegacyReport, LegacyReported, LegacyVerdict } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/**
 * A DONE is taken while the job has not ended, whoever holds it, also when it waits: the first result wins. A FAILED
 * counts only from the current holder. A requested cancel wins over both. The rows are left as Django leaves them.
 */
export async function legacyReport(
  sql: Sql,
  report: LegacyReport,
  backoff: Backoff,
  kept: KeptKinds = ALL_KINDS,
): Promise<LegacyReported> {
  const [row] = await untilSeen([report], ([item]) =>
    reportStatement(quickly(sql), item as LegacyReport, backoff, kept),
  );
  const nothing = { type: null, attempt: null, to: null, durationMs: null, ageMs: null, instanceId: null, token: null };
  if (row === undefined) return { verdict: "not_found", ...nothing };
  const { verdict, job_type: type, attempt, to, token, instance_id: instanceId } = row;
  return { verdict, type, attempt, to, durationMs: row.duration_ms, ageMs: row.age_ms, instanceId, token };
}

interface ReportRow {
  verdict: LegacyVerdict;
  job_type: string | null;
  attempt: number | null;
  to: Status | null;
  duration_ms: number | null;
  age_ms: number | null;
  instance_id: string | null;
  token: string | null;
  moved: boolean;
}

const SETTLED: EventColumns = {
  seq: "event_seq",
  kind: "retrying",
  status: "status",
  attempt: "attempt_count",
  worker: "reporter",
  error: "CASE WHEN status IN ('PENDING', 'FAILED') THEN last_error END",
};

function reportStatement(sql: Sql, report: LegacyReport, backoff: Backoff, kept: KeptKinds) {
  return sql<ReportRow[]>`
    WITH job AS MATERIALIZED (
      SELECT *, ${movedSince(sql)} AS moved, ${sql.unsafe(AGE_MS)} AS age_ms,
        CASE WHEN status NOT IN ('PENDING', 'RUNNING') THEN NULL
          WHEN ${report.status} = 'FAILED' AND (status <> 'RUNNING' OR locked_by IS DISTINCT FROM ${report.workerId})
            THEN NULL
          WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
          WHEN ${report.status} = 'DONE' THEN 'DONE'
          WHEN attempt_count < coalesce(nullif(max_attempts, 0), 5) THEN 'PENDING' ELSE 'FAILED' END AS next
      FROM (SELECT *, xmin AS version FROM ai_job WHERE job_id = ${report.jobId} FOR NO KEY UPDATE) j
    ), settled AS (
      UPDATE ai_job j SET status = o.next,
        error_message = CASE o.next WHEN 'CANCELLED' THEN j.error_message WHEN 'DONE' THEN '' ELSE ${report.error} END,
        last_error = CASE WHEN o.next IN ('CANCELLED', 'DONE') THEN j.last_error ELSE ${report.error} END,
        next_run_at = CASE o.next WHEN 'PENDING' THEN now() + interval '1 millisecond' * ${backoffMs(sql, backoff)}
          ELSE j.next_run_at END,
        locked_by = CASE o.next WHEN 'DONE' THEN j.locked_by END,
        locked_at = CASE o.next WHEN 'DONE' THEN j.locked_at END,
        lease_expires_at = CASE o.next WHEN 'DONE' THEN j.lease_expires_at END,
        instance_id = CASE o.next WHEN 'DONE' THEN j.instance_id END,
        finished_at = CASE WHEN o.next <> 'PENDING' THEN now() END,
        -- A cancel is told to a holder over gRPC too; a result that came first costs it the lease.
        settled_token = CASE o.next WHEN 'CANCELLED' THEN j.lease_token END,
        settled_as = CASE o.next WHEN 'CANCELLED' THEN 'CANCELLED' END,
        lease_token = NULL, returns = 0, updated_at = now(), event_seq = j.event_seq + 1, move = j.move + 1
      FROM job o WHERE j.id = o.id AND NOT o.moved AND o.next IS NOT NULL AND ${among(sql, "j.id", "job")}
      RETURNING j.id, j.job_type, j.priority, j.next_run_at, j.status, o.status AS was, o.next_run_at AS was_run_at,
        o.lease_token AS token, o.instance_id, j.job_id, j.event_seq, j.attempt_count, j.tenant_id, j.source_domain,
        j.source_id, j.last_error, ${report.workerId}::text AS reporter,
        CASE WHEN j.status = 'PENDING' THEN octet_length(j.payload::text) END AS bytes
    ), gone AS (
      ${unready(sql, "settled", "was_run_at")}
    ), lease AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM settled))
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM settled WHERE status = 'PENDING' ON CONFLICT DO NOTHING
    ), result AS (
      INSERT INTO ai_result (created_at, updated_at, payload, job_id)
      SELECT now(), now(), ${report.result}::text::jsonb, id FROM settled WHERE status IN ('DONE', 'FAILED')
      ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload, updated_at = excluded.updated_at
    )${eventsOf(sql, "event", sql`settled`, SETTLED, kept)}
    SELECT CASE WHEN s.id IS NULL OR s.status = 'CANCELLED' THEN 'duplicate_ignored' WHEN s.status = 'DONE' THEN 'done'
        ELSE 'failed_recorded' END AS verdict, s.job_type,
      CASE WHEN s.id IS NOT NULL THEN j.attempt_count END AS attempt, s.status AS to,
      CASE WHEN s.id IS NOT NULL THEN extract(epoch FROM now() - j.locked_at)::float8 * 1000 END AS duration_ms,
      CASE WHEN s.id IS NOT NULL THEN j.age_ms END AS age_ms, s.token, s.instance_id, j.moved
    FROM job j LEFT JOIN settled s ON s.id = j.id`;
}

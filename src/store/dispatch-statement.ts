/**
 * The one statement of a dispatch. It finds what is known and inserts the rest, unless something known has another body.
 * With seats, a job that nothing due comes before in any lane of theirs is inserted as its worker's lease: one
 * statement and one commit from the producer to the push, where waiting and being claimed would take two of each.
 */
import type { KeptKinds } from "../job/events.ts";
import { behindStart, FACTS_BYTES, type LeaseRow, lanesOf } from "./claim-statement.ts";
import { seatsOf } from "./claim-takers.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf, isKept } from "./event-rows.ts";
import type { HandOff, NewJob } from "./rows.ts";

/** A job that was known before. */
export interface KnownRow {
  by: "id" | "key";
  ord: string;
  known_id: string;
  same: boolean;
}

/** A job that went to a seat. */
export interface HandedRow extends LeaseRow {
  by: null;
  instance_id: string;
}

/**
 * Both events of a job that is handed off, by one INSERT: deliveries go by the ids of a job's events, and in which order
 * two CTEs would write is not said.
 */
const MOMENTS: EventColumns = {
  seq: "nth",
  kind: "dispatched",
  status: "moment",
  attempt: "nth - 1",
  worker: "CASE nth WHEN 2 THEN locked_by END",
  error: "NULL",
};

function momentsOf(sql: Sql, kept: KeptKinds) {
  const started = isKept("started", kept) ? sql`UNION ALL SELECT *, 2 AS nth, 'STARTED' AS moment FROM run` : sql``;
  return sql`(SELECT *, 1 AS nth, 'PENDING' AS moment FROM stored ${started} ORDER BY job_id, nth) m`;
}

const DISPATCHED: EventColumns = { seq: "1", kind: "dispatched", attempt: "0", worker: "NULL", error: "NULL" };

export function dispatchStatement(sql: Sql, jobs: NewJob[], kept: KeptKinds) {
  return sql<KnownRow[]>`
    WITH ${inputOf(sql, jobs)}, stored AS (
      INSERT INTO ai_job (${sql.unsafe(COLUMNS)})
      SELECT ${sql.unsafe(VALUES)}, 'PENDING', 0, 1
      FROM fresh f ORDER BY ord
      RETURNING id, job_type, priority, next_run_at, octet_length(payload::text) AS bytes, job_id, tenant_id,
        source_domain, source_id
    ), ${readied(sql, sql`stored`)}
    ${eventsOf(sql, "event", sql`stored`, DISPATCHED, kept)}
    SELECT "by", ord, job_id AS known_id, same FROM known ORDER BY ord, "by"`;
}

/** The same, for so few jobs that each could have a seat. */
export function handOffStatement(sql: Sql, jobs: NewJob[], kept: KeptKinds, to: HandOff) {
  return sql<(KnownRow | HandedRow)[]>`
    WITH RECURSIVE ${inputOf(sql, jobs)}, ${seatsOf(sql, to.seats)}, ${lanesOf(sql, to.types, to.from)}, ${handed(sql, to)},
    stored AS (
      INSERT INTO ai_job (${sql.unsafe(COLUMNS)}, deliveries, locked_by, locked_at, last_heartbeat_at, lease_expires_at,
        lease_token, instance_id)
      SELECT ${sql.unsafe(VALUES)}, ${sql.unsafe(IF_HANDED)}
        h.worker_id, h.at, h.at, h.at + ${to.leaseMs}::float8 * interval '1 millisecond',
        ${to.token}::text || '.' || h.job_id, h.instance_id
      FROM fresh f LEFT JOIN handed h ON h.ord = f.ord ORDER BY f.ord
      RETURNING *, octet_length(payload::text) AS bytes
    ), waits AS (SELECT * FROM stored WHERE status = 'PENDING'), run AS (SELECT * FROM stored WHERE status = 'RUNNING'),
    ${readied(sql, sql`waits`)}, lease AS (
      INSERT INTO ai_lease (id, expires_at, worker_id, instance_id)
      SELECT id, lease_expires_at, locked_by, instance_id FROM run
    )${eventsOf(sql, "event", momentsOf(sql, kept), MOMENTS, kept)}
    SELECT k."by", k.ord, k.job_id AS known_id, k.same, r.job_id, r.job_type, r.payload::text AS payload, r.tenant_id,
      r.source_domain, r.source_id, r.priority, r.max_attempts, r.next_run_at, r.idempotency_key, r.traceparent,
      r.created_at, r.status, r.lease_token, r.attempt_count, r.lease_expires_at, r.locked_by, r.instance_id
    FROM known k FULL JOIN run r ON r.job_id = k.job_id ORDER BY k.ord, k."by", r.priority, r.next_run_at, r.id`;
}

/** Of which there is one value a row in VALUES, the last three at its end. */
const COLUMNS = `job_id, job_type, payload, tenant_id, source_domain, source_id, priority, next_run_at, idempotency_key,
  traceparent, created_at, updated_at, error_message, last_error, move, max_attempts, status, attempt_count, event_seq`;
const VALUES = `f.job_id, f.job_type, f.payload, f.tenant_id, f.source_domain, f.source_id, f.priority, f.due_at,
  f.idempotency_key, f.traceparent, now(), now(), '', '', 1, f.max_attempts`;
/** The last three, and the deliveries, of a job that may have a seat. */
const IF_HANDED = `CASE WHEN h.ord IS NULL THEN 'PENDING' ELSE 'RUNNING' END, (h.ord IS NOT NULL)::int,
  1 + (h.ord IS NOT NULL)::int, (h.ord IS NOT NULL)::int,`;

/** `input`, what of it is `known`, and what is `fresh`: nothing, if something known has another body. */
function inputOf(sql: Sql, jobs: NewJob[]) {
  const column = <T>(pick: (job: NewJob) => T) => jobs.map(pick);
  return sql`
    input AS MATERIALIZED (
      SELECT i.ord, i.job_id, i.job_type, i.payload::jsonb AS payload, i.tenant_id, i.source_domain, i.source_id,
        i.priority::int AS priority, i.max_attempts::int AS max_attempts, i.run_at::timestamptz AS run_at,
        i.idempotency_key, i.traceparent
      FROM unnest(
        ${column((j) => j.id)}::text[], ${column((j) => j.type)}::text[], ${column((j) => j.payload)}::text[],
        ${column((j) => j.tenantId)}::text[], ${column((j) => j.sourceDomain)}::text[],
        ${column((j) => j.sourceId)}::text[], ${column((j) => String(j.priority))}::text[],
        ${column((j) => String(j.maxAttempts))}::text[], ${column((j) => j.runAt?.toISOString() ?? null)}::text[],
        ${column((j) => j.idempotencyKey)}::text[], ${column((j) => j.traceparent)}::text[]
      ) WITH ORDINALITY AS i (job_id, job_type, payload, tenant_id, source_domain, source_id, priority, max_attempts,
        run_at, idempotency_key, traceparent, ord)
    ), known AS MATERIALIZED (
      SELECT i.ord, j.job_id, 'id' AS "by", (j.job_type, j.payload, j.priority, j.max_attempts, j.tenant_id,
        j.source_domain, j.source_id) IS NOT DISTINCT FROM (i.job_type::varchar, i.payload, i.priority, i.max_attempts,
        i.tenant_id::varchar, i.source_domain::varchar, i.source_id::varchar) AS same
      FROM input i CROSS JOIN LATERAL (SELECT * FROM ai_job WHERE job_id = i.job_id LIMIT 1) j
      UNION ALL
      SELECT i.ord, j.job_id, 'key', (j.job_type, j.payload, j.priority, j.max_attempts, j.tenant_id,
        j.source_domain, j.source_id) IS NOT DISTINCT FROM (i.job_type::varchar, i.payload, i.priority, i.max_attempts,
        i.tenant_id::varchar, i.source_domain::varchar, i.source_id::varchar)
      FROM input i CROSS JOIN LATERAL (
        SELECT * FROM ai_job k
        WHERE i.idempotency_key IS NOT NULL AND k.idempotency_key IS NOT NULL
          AND coalesce(k.tenant_id, '') = coalesce(i.tenant_id, '') AND k.idempotency_key = i.idempotency_key LIMIT 1
      ) j
    ), fresh AS (
      SELECT i.*, coalesce(run_at, now()) AS due_at FROM input i
      -- NOT IN, since it looks up in a hash; NOT EXISTS compared each job with each known one.
      WHERE NOT EXISTS (SELECT FROM known WHERE NOT same) AND i.ord NOT IN (SELECT ord FROM known)
    )`;
}

function readied(sql: Sql, from: ReturnType<Sql>) {
  return sql`
    ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM ${from}
    )`;
}

/**
 * Which of `fresh` goes to which seat: the first job in claim order to the first seat, and so on, but none that is not
 * due, is of a paused type, or has a due job of its own or of a more urgent priority before it in a lane of the seats.
 * Each lane is looked at for one due row, so it costs the same over any backlog.
 */
function handed(sql: Sql, { maxBytes, from }: HandOff) {
  return sql`
    queued AS MATERIALIZED (
      SELECT min(l.priority) AS priority FROM lane l CROSS JOIN LATERAL (
        SELECT FROM ai_ready r WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at <= now()
          ${behindStart(sql, from)}
        ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT 1) due
    ), handed AS MATERIALIZED (
      SELECT f.ord, f.job_id, s.worker_id, s.instance_id, now() AS at FROM (
        SELECT ord, job_id, priority, row_number() OVER sorted AS nth,
          sum(octet_length(payload::text) + ${FACTS_BYTES}) OVER sorted AS total
        FROM fresh
        WHERE due_at <= now() AND NOT EXISTS (SELECT FROM ai_type_pause p WHERE p.job_type = fresh.job_type)
        WINDOW sorted AS (ORDER BY priority, due_at, ord)
      ) f JOIN (
        SELECT c.*, row_number() OVER (ORDER BY p.ord) AS nth FROM seat p JOIN taker c ON c.nr = p.taker
      ) s ON s.nth = f.nth
      WHERE (f.nth = 1 OR f.total <= ${maxBytes})
        AND (f.priority < (SELECT priority FROM queued)) IS NOT FALSE
    )`;
}

/** Move: a producer's jobs become rows, all or none. */
import { BrokerError } from "../errors.ts";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { foldRepeats } from "./repeats.ts";
import type { Dispatched, NewJob } from "./rows.ts";

/** Another transaction stored one of the ids or keys between our look and our insert; the next look sees it. */
const UNIQUE_VIOLATION = "23505";
const RACES = 5;

/**
 * Stores the jobs and answers in their order. An id or idempotency key that is known, with the same body, answers with
 * the first job; with another body all are refused (IDEMPOTENCY_KEY_REUSED, naming the item). Nothing is stored then.
 */
export async function dispatch(sql: Sql, jobs: NewJob[], kept: KeptKinds = ALL_KINDS): Promise<Dispatched[]> {
  const { fresh, repeatOf } = await foldRepeats(sql, jobs);
  const stored = await store(
    sql,
    fresh.map((i) => jobs[i] as NewJob),
    fresh,
    kept,
  );
  const byIndex = new Map(fresh.map((index, at) => [index, stored[at] as Dispatched]));
  return jobs.map((_, i) => {
    const first = repeatOf.get(i);
    return first === undefined
      ? (byIndex.get(i) as Dispatched)
      : { jobId: (byIndex.get(first) as Dispatched).jobId, created: false };
  });
}

async function store(sql: Sql, jobs: NewJob[], indexes: number[], kept: KeptKinds): Promise<Dispatched[]> {
  for (let race = 1; ; race++) {
    try {
      const known = new Map<number, string>();
      for (const row of await insertUnknown(sql, jobs, kept)) {
        const at = Number(row.ord) - 1;
        const other = known.get(at);
        if (!row.same || (other !== undefined && other !== row.job_id)) throw reused(jobs[at], indexes[at], row.by);
        known.set(at, row.job_id);
      }
      return jobs.map((job, at) => ({ jobId: known.get(at) ?? job.id, created: !known.has(at) }));
    } catch (err) {
      if ((err as { code?: string }).code !== UNIQUE_VIOLATION || race === RACES) throw err;
    }
  }
}

function reused(job: NewJob | undefined, index: number | undefined, by: "id" | "key"): BrokerError {
  const field = `jobs[${index}].${by === "id" ? "id" : "idempotency_key"}`;
  const value = by === "id" ? job?.id : job?.idempotencyKey;
  return new BrokerError(
    "IDEMPOTENCY_KEY_REUSED",
    `${field}: "${value}" was used before for a job with another body; nothing was dispatched. ` +
      "Send the first body again, or use a new value",
    { field },
  );
}

const DISPATCHED: EventColumns = { seq: "1", kind: "dispatched", attempt: "0", worker: "NULL", error: "NULL" };

/** One statement: finds what is known and inserts the rest, unless something known has another body. */
function insertUnknown(sql: Sql, jobs: NewJob[], kept: KeptKinds) {
  const column = <T>(pick: (job: NewJob) => T) => jobs.map(pick);
  return sql<{ ord: string; job_id: string; same: boolean; by: "id" | "key" }[]>`
    WITH input AS MATERIALIZED (
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
      SELECT i.ord, j.job_id, 'id' AS by, (j.job_type, j.payload, j.priority, j.max_attempts, j.tenant_id,
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
    ), stored AS (
      INSERT INTO ai_job (job_id, job_type, payload, tenant_id, source_domain, source_id, priority, max_attempts,
        next_run_at, idempotency_key, traceparent, created_at, updated_at, status, error_message, last_error,
        attempt_count, event_seq, move)
      SELECT job_id, job_type, payload, tenant_id, source_domain, source_id, priority, max_attempts,
        coalesce(run_at, now()), idempotency_key, traceparent, now(), now(), 'PENDING', '', '', 0, 1, 1
      FROM input i
      -- NOT IN, since it looks up in a hash; NOT EXISTS compared each job with each known one.
      WHERE NOT EXISTS (SELECT FROM known WHERE NOT same) AND i.ord NOT IN (SELECT ord FROM known)
      ORDER BY ord
      RETURNING id, job_type, priority, next_run_at, octet_length(payload::text) AS bytes, job_id, tenant_id, source_domain,
        source_id
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, bytes FROM stored
    )${eventsOf(sql, "event", sql`stored`, DISPATCHED, kept)}
    SELECT ord, job_id, same, by FROM known ORDER BY ord, by`;
}

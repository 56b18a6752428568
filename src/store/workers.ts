/** Who works: written a few seconds after each call of a worker, read by operators. */
import { sql } from "drizzle-orm";
import type { Database, Sql } from "./db.ts";

/** What a broker saw of a worker since it last wrote. */
export interface SeenWorker {
  workerId: string;
  legacy: boolean;
  /** Of its last claim; null: it has not claimed since, what is stored stands. */
  types: string[] | null;
}

export interface WorkerRow {
  workerId: string;
  legacy: boolean;
  types: string[];
  /** Null for a worker that holds a lease and has never called a broker: the Django app's own. */
  firstSeenAt: Date | null;
  lastSeenAt: Date | null;
  /** How many leases it holds. */
  running: number;
  /** Of its leases, at most 100. */
  jobIds: string[];
}

const MOST_WORKERS = 1_000;
const MOST_JOB_IDS = 100;

/** Writes down who was seen, as of now, in one statement; each worker at most once in `workers`. */
export async function recordSeen(pool: Sql, workers: SeenWorker[]): Promise<void> {
  if (workers.length === 0) return;
  // As one JSON text, since a list of lists has no parameter type. In the order of the key, so that two brokers that
  // write the same workers cannot deadlock.
  await pool`
    INSERT INTO ai_worker AS w (worker_id, legacy, types)
    SELECT s."workerId", s.legacy,
      coalesce(s.types, (SELECT types FROM ai_worker WHERE worker_id = s."workerId"), '{}')
    FROM (
      SELECT r."workerId", r.legacy, CASE WHEN r.types IS NOT NULL
        THEN ARRAY(SELECT t FROM jsonb_array_elements_text(r.types) AS t) END AS types
      FROM jsonb_to_recordset(${JSON.stringify(workers)}::text::jsonb) AS r ("workerId" text, legacy boolean, types jsonb)
    ) s
    ORDER BY s."workerId"
    ON CONFLICT (worker_id) DO UPDATE
      SET legacy = excluded.legacy, last_seen_at = excluded.last_seen_at, types = excluded.types`;
}

/** Removes workers that were not seen for a day and hold nothing; returns how many, at most 1,000 at once. */
export async function forgetWorkers(pool: Sql): Promise<number> {
  const gone = await pool`
    DELETE FROM ai_worker WHERE worker_id IN (
      SELECT worker_id FROM ai_worker w
      WHERE last_seen_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM ai_lease l WHERE l.worker_id = w.worker_id)
      LIMIT 1000
    )`;
  return gone.count;
}

interface WorkerNumbers extends Record<string, unknown> {
  worker_id: string;
  legacy: boolean;
  types: string;
  first_seen_ms: number | null;
  last_seen_ms: number | null;
  running: number;
  job_ids: string;
}

/** Workers that were seen within a day or hold a lease, the latest first, at most 1,000. */
export async function listWorkers(db: Database): Promise<WorkerRow[]> {
  const rows = await db.drizzle.execute<WorkerNumbers>(sql`
    WITH holder AS (
      SELECT worker_id, count(*) AS running, (array_agg(id ORDER BY id))[1:${MOST_JOB_IDS}] AS ids
      FROM ai_lease WHERE worker_id IS NOT NULL GROUP BY worker_id
    ), shown AS (
      SELECT coalesce(w.worker_id, h.worker_id) AS worker_id, w.legacy, w.types, w.first_seen_at, w.last_seen_at,
        h.running, h.ids
      FROM ai_worker w FULL JOIN holder h ON h.worker_id = w.worker_id
      WHERE h.worker_id IS NOT NULL OR w.last_seen_at > now() - interval '1 day'
      ORDER BY w.last_seen_at DESC NULLS LAST, 1 LIMIT ${MOST_WORKERS}
    )
    SELECT worker_id, to_json(coalesce(types, '{}'))::text AS types,
      -- One that is not written down yet: a lease without a token is the Django app's.
      coalesce(legacy, (SELECT bool_and(lease_token IS NULL) FROM ai_job WHERE id = ANY (ids)), false) AS legacy,
      extract(epoch FROM first_seen_at)::float8 * 1000 AS first_seen_ms,
      extract(epoch FROM last_seen_at)::float8 * 1000 AS last_seen_ms, coalesce(running, 0)::float8 AS running,
      to_json(ARRAY(SELECT j.job_id FROM unnest(ids) AS held CROSS JOIN LATERAL
        (SELECT job_id FROM ai_job WHERE id = held LIMIT 1) j))::text AS job_ids
    FROM shown ORDER BY last_seen_at DESC NULLS LAST, worker_id`);
  return rows.map((row) => ({
    workerId: row.worker_id,
    legacy: row.legacy,
    types: JSON.parse(row.types) as string[],
    firstSeenAt: dateOf(row.first_seen_ms),
    lastSeenAt: dateOf(row.last_seen_ms),
    running: row.running,
    jobIds: JSON.parse(row.job_ids) as string[],
  }));
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

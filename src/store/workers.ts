/** Who works: written a few seconds after each call of a worker, read by operators. */

import type { Database, Sql } from "./db.ts";
import { sql } from "./drizzle.ts";
import { LIVE_SESSION, PAST_STREAMS } from "./lookups.ts";

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
  /** Until it is written down: when its newest lease was taken or its newest stream opened. */
  lastSeenAt: Date | null;
  /** How many leases it holds. */
  running: number;
  /** Of its leases, at most 100. */
  jobIds: string[];
  /** Its live Work streams, the newest first, at most 100. */
  streams: WorkerStream[];
  /** When the newest of those that are over ended; null: none was in the last day. */
  lastStreamEndedAt: Date | null;
}

/** A Work stream, as its Hello and its newest Capacity described it. */
export interface WorkerStream {
  instanceId: string;
  sessionId: string;
  brokerId: string;
  maxInFlight: number;
  connectedAt: Date;
  client: string;
}

const MOST_WORKERS = 1_000;
const MOST_JOB_IDS = 100;
const MOST_STREAMS = 100;

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

/** Removes workers that were not seen for a day, hold nothing and have no stream; returns how many, at most 1,000 at once. */
export async function forgetWorkers(pool: Sql): Promise<number> {
  const gone = await pool`
    DELETE FROM ai_worker WHERE worker_id IN (
      SELECT worker_id FROM ai_worker w
      WHERE last_seen_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM ai_lease l WHERE l.worker_id = w.worker_id)
        AND NOT EXISTS (SELECT FROM ai_session s WHERE s.worker_id = w.worker_id AND ${pool.unsafe(LIVE_SESSION)})
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
  streams: string;
  stream_ended_ms: number | null;
}

/** Workers that were seen within a day, hold a lease or have a live stream, the latest first, at most 1,000. */
export async function listWorkers(db: Database): Promise<WorkerRow[]> {
  const rows = await db.drizzle.execute<WorkerNumbers>(sql`
    WITH holder AS (
      SELECT worker_id, count(*) AS running, (array_agg(id ORDER BY id))[1:${MOST_JOB_IDS}] AS ids
      FROM ai_lease WHERE worker_id IS NOT NULL GROUP BY worker_id
    ), stream AS (
      SELECT s.*, row_number() OVER (PARTITION BY worker_id ORDER BY connected_at DESC, instance_id) AS nth
      FROM ai_session s WHERE ${sql.raw(LIVE_SESSION)}
    ), streamer AS (
      SELECT worker_id, (array_agg(to_json(types) ORDER BY nth))[1] AS types, max(connected_at) AS connected_at,
        json_agg(json_build_object('instanceId', instance_id, 'sessionId', session_id, 'brokerId', broker_id,
          'maxInFlight', max_in_flight, 'connectedAt', extract(epoch FROM connected_at)::float8 * 1000,
          'client', client) ORDER BY nth) AS streams
      FROM stream WHERE nth <= ${MOST_STREAMS} GROUP BY worker_id
    ), ${sql.raw(PAST_STREAMS)}, shown AS (
      SELECT worker_id, w.legacy, coalesce(to_json(w.types), s.types) AS types, w.first_seen_at,
        coalesce(w.last_seen_at,
          greatest((SELECT max(greatest(locked_at, last_heartbeat_at)) FROM ai_job WHERE id = ANY (h.ids)), s.connected_at)) AS last_seen_at,
        h.running, h.ids, s.streams, p.ended_at
      FROM ai_worker w FULL JOIN holder h USING (worker_id) FULL JOIN streamer s USING (worker_id)
        LEFT JOIN past p USING (worker_id)
      WHERE h.running > 0 OR s.streams IS NOT NULL OR w.last_seen_at > now() - interval '1 day'
      ORDER BY last_seen_at DESC NULLS LAST, 1 LIMIT ${MOST_WORKERS}
    )
    SELECT worker_id, coalesce(types, '[]')::text AS types, coalesce(streams, '[]')::text AS streams,
      -- One that is not written down yet: a lease without a token is the Django app's.
      coalesce(legacy, (SELECT bool_and(lease_token IS NULL) FROM ai_job WHERE id = ANY (ids)), false) AS legacy,
      extract(epoch FROM first_seen_at)::float8 * 1000 AS first_seen_ms,
      extract(epoch FROM last_seen_at)::float8 * 1000 AS last_seen_ms, coalesce(running, 0)::float8 AS running,
      extract(epoch FROM ended_at)::float8 * 1000 AS stream_ended_ms,
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
    streams: streamsOf(row.streams),
    lastStreamEndedAt: dateOf(row.stream_ended_ms),
  }));
}

function streamsOf(json: string): WorkerStream[] {
  const streams = JSON.parse(json) as (Omit<WorkerStream, "connectedAt"> & { connectedAt: number })[];
  return streams.map((stream) => ({ ...stream, connectedAt: new Date(stream.connectedAt) }));
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

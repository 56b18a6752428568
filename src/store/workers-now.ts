/** Read: how many workers there are, and how busy they are. */
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import { LIVE_SESSION, PAST_STREAMS } from "./lookups.ts";

/** Of those that have a stream, hold a lease or called within the last minute; whose stream ended after that has left. */
export interface WorkersNow {
  workers: number;
  /** With a Work stream. */
  streaming: number;
  /** At the REST endpoints. */
  legacy: number;
  /** Jobs that all streams together take at a time. */
  seats: number;
  /** Jobs in workers' hands. */
  running: number;
}

export async function workersNow(db: Database): Promise<WorkersNow> {
  const [row] = await db.drizzle.execute<WorkersNow & Record<string, unknown>>(sql`
    WITH holder AS (
      SELECT DISTINCT worker_id FROM ai_lease WHERE worker_id IS NOT NULL
    ), streamer AS (
      SELECT worker_id, sum(max_in_flight) AS seats FROM ai_session s WHERE ${sql.raw(LIVE_SESSION)} GROUP BY worker_id
    ), ${sql.raw(PAST_STREAMS)}, worker AS (
      SELECT worker_id, s.seats, coalesce(w.legacy, false) AS legacy
      FROM ai_worker w FULL JOIN holder h USING (worker_id) FULL JOIN streamer s USING (worker_id)
        LEFT JOIN past p USING (worker_id)
      WHERE h.worker_id IS NOT NULL OR s.worker_id IS NOT NULL OR (w.last_seen_at > now() - interval '1 minute'
        AND w.last_seen_at >= coalesce(p.ended_at + interval '10 seconds', '-infinity'))
    )
    SELECT count(*)::int AS workers, count(seats)::int AS streaming,
      (count(*) FILTER (WHERE legacy AND seats IS NULL))::int AS legacy, coalesce(sum(seats), 0)::float8 AS seats,
      (SELECT count(*) FROM ai_lease)::float8 AS running
    FROM worker`);
  if (row === undefined) throw new Error("a SELECT without FROM gave no row");
  const { workers, streaming, legacy, seats, running } = row;
  return { workers, streaming, legacy, seats, running };
}

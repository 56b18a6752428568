/** Which workers live, as far as the database knows: what a start of another one is judged by. */

import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import { ALL_LANES, LIVE_SESSION, SESSION_ENDED_AT } from "./lookups.ts";

const IS_HELD = "(l.expires_at IS NULL OR l.expires_at > now())";

/**
 * A FROM item: a row for each live stream, and one for each worker without a stream that called within a minute or
 * holds a lease; with the types (empty: any), the seats, and how many of them are taken. A poll takes one job at a time
 * as far as anybody knows. A worker whose stream ended after it was last seen has left.
 */
export const LIVE_WORKERS = `
  SELECT s.worker_id, s.types, s.max_in_flight AS seats,
    (SELECT count(*) FROM ai_lease l WHERE l.instance_id = s.instance_id AND ${IS_HELD}) AS held
  FROM ai_session s WHERE ${LIVE_SESSION}
  UNION ALL
  SELECT p.worker_id, p.types, greatest(1, p.held), p.held FROM (
    SELECT coalesce(w.worker_id, h.worker_id) AS worker_id, coalesce(w.types, '{}') AS types, coalesce(h.held, 0) AS held,
      w.last_seen_at
    FROM ai_worker w FULL JOIN (
      SELECT worker_id, count(*) AS held FROM ai_lease l
      WHERE worker_id IS NOT NULL AND ${IS_HELD} GROUP BY worker_id) h USING (worker_id)
    WHERE h.held > 0 OR w.last_seen_at > now() - interval '1 minute') p
  WHERE NOT EXISTS (SELECT FROM ai_session s WHERE s.worker_id = p.worker_id AND (${LIVE_SESSION}
    OR (p.held = 0 AND ${SESSION_ENDED_AT} > p.last_seen_at - interval '10 seconds')))`;

/** Live workers that take the same types, together. */
export interface HandsRow {
  types: string[];
  seats: number;
  free: number;
}

/** So many sets of types at most; who has more kinds of workers than that has no need of this. */
const MOST_KINDS = 1_000;

export async function liveHands(db: Database): Promise<HandsRow[]> {
  const rows = await db.drizzle.execute<{ types: string; seats: number; free: number }>(sql`
    SELECT to_json(types)::text AS types, sum(seats)::float8 AS seats, sum(greatest(0, seats - held))::float8 AS free
    FROM (${sql.raw(LIVE_WORKERS)}) live GROUP BY live.types LIMIT ${MOST_KINDS}`);
  return rows.map(({ types, seats, free }) => ({ types: JSON.parse(types) as string[], seats, free }));
}

/** The ids of all live workers. */
export async function liveWorkers(db: Database): Promise<string[]> {
  const [row] = await db.drizzle.execute<{ ids: string }>(sql`
    SELECT coalesce(json_agg(DISTINCT worker_id), '[]')::text AS ids FROM (${sql.raw(LIVE_WORKERS)}) live`);
  return JSON.parse(row?.ids ?? "[]") as string[];
}

/** How long a job of each type ran lately, and a boot took. */
export interface Learned {
  medianMs: Map<string, number>;
  /** Null: no instance has been started yet. */
  bootMs: number | null;
}

const RECENT_JOBS = 1_000;
const RECENT_BOOTS = 20;

/**
 * Medians over recent jobs that are DONE: the newest thousand by id, and the thousand before the oldest job that stands
 * at the head of a lane, since under a backlog the newest have not been done. Boots that an alert preceded do not count:
 * somebody had to help.
 */
export async function learned(db: Database): Promise<Learned> {
  const columns = sql.raw("job_type, status, locked_at, finished_at");
  const rows = await db.drizzle.execute<{ job_type: string | null; ms: number | null }>(sql`
    WITH RECURSIVE ${sql.raw(ALL_LANES)}, head AS MATERIALIZED (
      SELECT min(h.id) AS id FROM walk w CROSS JOIN LATERAL (
        SELECT r.id FROM ai_ready r WHERE r.job_type = w.job_type AND r.priority = w.priority
        ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT 1) h
    ), recent AS MATERIALIZED (
      (SELECT ${columns} FROM ai_job ORDER BY id DESC LIMIT ${RECENT_JOBS})
      UNION ALL
      (SELECT ${columns} FROM ai_job WHERE id < (SELECT id FROM head) ORDER BY id DESC LIMIT ${RECENT_JOBS})
    )
    SELECT job_type, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - locked_at)::float8)
      * 1000 AS ms
    FROM recent WHERE status = 'DONE' AND finished_at >= locked_at GROUP BY job_type
    UNION ALL
    SELECT NULL, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - started_at)::float8) * 1000
    FROM (SELECT ended_at, started_at FROM ai_ec2_intent
      WHERE outcome = 'connected' AND source <> 'found' AND alerted_at IS NULL ORDER BY id DESC LIMIT ${RECENT_BOOTS}) b`);
  const medianMs = new Map<string, number>();
  let bootMs: number | null = null;
  for (const { job_type: type, ms } of rows) {
    if (type === null) bootMs = ms;
    else if (ms !== null) medianMs.set(type, ms);
  }
  return { medianMs, bootMs };
}

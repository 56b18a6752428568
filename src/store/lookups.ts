/**
 * Look-ups that go by index whatever the planner believes. A connection plans each statement once, maybe while a table
 * was empty, where a walk through a whole index looks as cheap as one look-up; at a million rows it is not. The fences
 * (OFFSET 0, a bound by array) leave the planner nothing but the look-up (test/store/early-plans.test.ts).
 */
import type { Sql } from "./db.ts";

/** For a LATERAL: the row of ai_job with this id and status. */
export function jobOf(sql: Sql, id: "r.id" | "l.id", status: "PENDING" | "RUNNING") {
  return sql.unsafe(`SELECT * FROM ai_job WHERE id = ${id} AND status = '${status}' OFFSET 0`);
}

/**
 * For a FROM: each row `i` of a CTE with the job `j` that its job_id names, or with nulls, and the job's version. Jobs are
 * locked as they are read, always in the order of job_id, so that two batches cannot deadlock. What is selected is read
 * after the lock, so nothing of it is stale.
 */
export function namedJobs(sql: Sql, cte: string) {
  return sql.unsafe(`(SELECT * FROM ${cte} ORDER BY job_id) i LEFT JOIN LATERAL (
    SELECT *, xmin AS version FROM ai_job WHERE job_id = i.job_id FOR NO KEY UPDATE) j ON true`);
}

/**
 * For a locked job `j` with its version: whether another has moved it since this statement began (overtaken.ts). The
 * inner look goes by the statement's snapshot, the locked row is the newest.
 */
export function movedSince(sql: Sql) {
  return sql.unsafe("(SELECT s.xmin FROM ai_job s WHERE s.id = j.id) IS DISTINCT FROM j.version");
}

/**
 * Restricts `column` to the ids of a CTE of this statement, or of those of its rows where `which` holds. A move is bound
 * so and by nothing else: with the CTE joined to it as well, a plan from the time of small tables compares each job with
 * each row (a thousand heartbeats took 1.8 s, and take 50 ms). What differs from job to job comes out of its own row, or
 * out of a map that is made once.
 */
export function among(sql: Sql, column: string, cte: string, which = "true") {
  return sql.unsafe(`${column} = ANY (ARRAY(SELECT id FROM ${cte} WHERE ${which}))`);
}

/**
 * The end of a lease that runs for leaseMs from now on. A statement that waited has an older now() than one that came
 * after it: what was promised stays.
 */
export function extendedLease(sql: Sql, column: string, leaseMs: number) {
  return sql`greatest(${sql.unsafe(column)}, now() + ${leaseMs}::float8 * interval '1 millisecond')`;
}

/**
 * Takes the jobs of a CTE (with was, job_type, priority, id, and the time in `runAt`) that waited out of ai_ready, or
 * those of them where `which` holds. The rows of ai_ready are never updated, so their places hold.
 */
export function unready(sql: Sql, cte: string, runAt: string, which = "true") {
  return sql.unsafe(`DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(
    SELECT r.place FROM ${cte} c CROSS JOIN LATERAL (
      SELECT ctid AS place FROM ai_ready WHERE job_type = c.job_type AND priority = c.priority AND run_at = c.${runAt}
        AND id = c.id OFFSET 0) r
    WHERE c.was = 'PENDING' AND ${which}))`);
}

/**
 * For a WITH RECURSIVE: `walk`, the distinct lanes (job_type, priority) of ai_ready. It hops from one to the next by the
 * key, so it costs a look-up a lane, however many jobs each has.
 */
export const ALL_LANES = walkOver("job_type, priority");

/** The same, with the rest of the key of each lane's first row: run_at and id. */
export const LANE_FRONTS = walkOver("job_type, priority, run_at, id");

function walkOver(key: string): string {
  return `walk AS (
  (SELECT ${key} FROM ai_ready ORDER BY ${key} LIMIT 1)
  UNION ALL
  SELECT n.* FROM walk w CROSS JOIN LATERAL (
    SELECT ${key} FROM ai_ready r WHERE (r.job_type, r.priority) > (w.job_type, w.priority) ORDER BY ${key} LIMIT 1) n
)`;
}

/** A broker says every 5 s that it is there; after this it is not. */
const BROKER_SILENCE = "interval '15 seconds'";

/** Whether the broker of that name is there, as far as the database knows. */
export function isLiveBroker(name: "s.broker_id" | "d.claimed_by"): string {
  return `EXISTS (SELECT FROM ai_broker b WHERE b.broker_id = ${name} AND b.seen_at > now() - ${BROKER_SILENCE})`;
}

/** For a row `s` of ai_session: whether its stream is there, as far as the database knows. */
export const LIVE_SESSION = `(s.ended_at IS NULL AND ${isLiveBroker("s.broker_id")})`;

/** For a row `s` of ai_session that is not live: since when it is not, as far as the database knows. */
export const SESSION_ENDED_AT = `coalesce(s.ended_at,
  (SELECT b.seen_at + ${BROKER_SILENCE} FROM ai_broker b WHERE b.broker_id = s.broker_id), s.connected_at)`;

/** For a WITH: `past`, the workers of which streams are over, with the newest end of them. */
export const PAST_STREAMS = `past AS (
  SELECT worker_id, max(${SESSION_ENDED_AT}) AS ended_at FROM ai_session s WHERE NOT ${LIVE_SESSION} GROUP BY worker_id
)`;

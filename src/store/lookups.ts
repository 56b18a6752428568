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
 * The rows of ai_job whose job_id stands in a CTE, each once, locked as they are read: always in the order of job_id,
 * so that two batches cannot deadlock. What is selected is read after the lock, so nothing of it is stale.
 */
export function lockedJobs(sql: Sql, input: string) {
  return sql.unsafe(`SELECT j.* FROM (SELECT DISTINCT job_id FROM ${input} ORDER BY job_id) named
    CROSS JOIN LATERAL (SELECT *, xmin AS version FROM ai_job WHERE job_id = named.job_id OFFSET 0) j
    FOR NO KEY UPDATE OF j`);
}

/**
 * For a locked job `j` with its version: whether another has moved it since this statement began (overtaken.ts). The
 * inner look goes by the statement's snapshot, the locked row is the newest.
 */
export function movedSince(sql: Sql) {
  return sql.unsafe("(SELECT s.xmin FROM ai_job s WHERE s.id = j.id) IS DISTINCT FROM j.version");
}

/** Restricts `column` to the ids of a CTE of this statement: a bound that holds for any join the planner picks. */
export function among(sql: Sql, column: string, cte: string) {
  return sql.unsafe(`${column} = ANY (ARRAY(SELECT id FROM ${cte}))`);
}

/**
 * Takes the jobs of a CTE (with was, job_type, priority, id, and the time in `runAt`) that waited out of ai_ready. Its
 * rows are never updated, so their places hold.
 */
export function unready(sql: Sql, cte: string, runAt: string) {
  return sql.unsafe(`DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(
    SELECT r.place FROM ${cte} c CROSS JOIN LATERAL (
      SELECT ctid AS place FROM ai_ready WHERE job_type = c.job_type AND priority = c.priority AND run_at = c.${runAt}
        AND id = c.id OFFSET 0) r
    WHERE c.was = 'PENDING'))`);
}

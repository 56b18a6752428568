/** Move: an operator gives waiting jobs another place in the queue. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, movedSince, namedJobs, unready } from "./lookups.ts";
import { untilSeen } from "./overtaken.ts";
import type { Updated } from "./rows.ts";

/**
 * Each PENDING job has the priority when it answers, and is claimed by it; all others stay as they are. It is no
 * transition, so there is no event. Answers in the order of `jobIds`.
 */
export async function update(sql: Sql, jobIds: string[], priority: number): Promise<Updated[]> {
  const rows = await untilSeen(jobIds, (ids) => updateStatement(sql, ids, priority));
  return rows.map((r) => ({
    jobId: r.job_id,
    outcome: r.was === null ? "NOT_FOUND" : r.was === "PENDING" ? "UPDATED" : "UNCHANGED",
    status: r.was,
    type: r.job_type,
  }));
}

interface UpdateRow {
  job_id: string;
  was: Status | null;
  job_type: string | null;
  moved: boolean;
}

function updateStatement(sql: Sql, jobIds: string[], priority: number) {
  return sql<UpdateRow[]>`
    WITH input AS MATERIALIZED (
      SELECT * FROM unnest(${jobIds}::text[]) WITH ORDINALITY AS i (job_id, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, j.id, j.status AS was, j.job_type, j.priority, j.next_run_at, m.moved,
        NOT m.moved AND j.status = 'PENDING' AND j.priority <> ${priority}::int AS other
      FROM ${namedJobs(sql, "input")} CROSS JOIN LATERAL (SELECT j.id IS NOT NULL AND ${movedSince(sql)} AS moved) m
    ), updated AS (
      UPDATE ai_job j SET priority = ${priority}::int, updated_at = now(), move = j.move + 1
      WHERE ${among(sql, "j.id", "met", "other")}
    ), gone AS (
      ${unready(sql, "met", "next_run_at", "other")} RETURNING job_type, run_at, id, bytes
    ), ready AS (
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, ${priority}::int, run_at, id, bytes FROM gone ON CONFLICT DO NOTHING
    )
    SELECT job_id, was, CASE WHEN other THEN job_type END AS job_type, moved FROM met ORDER BY ord`;
}

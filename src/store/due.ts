/** A look at the queue without touching it: which types have due jobs, and when the next one is due. */
import type { Sql } from "./db.ts";
import { ALL_LANES } from "./lookups.ts";

export interface Due {
  type: string;
  /** Due jobs, counted up to the limit. */
  count: number;
  /** Until the earliest job that is not due yet; null: none. */
  nextInMs: number | null;
}

/** One row for each type that has jobs waiting and is not paused. Costs a few index look-ups per (type, priority). */
export async function due(sql: Sql, limit: number): Promise<Due[]> {
  const rows = await sql<{ job_type: string; count: number; next_in_ms: number | null }[]>`
    WITH RECURSIVE ${sql.unsafe(ALL_LANES)}
    SELECT w.job_type, sum(d.count)::int AS count,
      extract(epoch FROM min(n.run_at) - now())::float8 * 1000 AS next_in_ms
    FROM walk w
    CROSS JOIN LATERAL (
      SELECT count(*) FROM (
        SELECT FROM ai_ready r WHERE r.job_type = w.job_type AND r.priority = w.priority AND r.run_at <= now()
        ORDER BY r.job_type, r.priority, r.run_at LIMIT ${limit}) c) d
    LEFT JOIN LATERAL (
      SELECT r.run_at FROM ai_ready r WHERE r.job_type = w.job_type AND r.priority = w.priority AND r.run_at > now()
      ORDER BY r.job_type, r.priority, r.run_at LIMIT 1) n ON true
    WHERE NOT EXISTS (SELECT FROM ai_type_pause p WHERE p.job_type = w.job_type)
    GROUP BY w.job_type`;
  return rows.map((r) => ({ type: r.job_type, count: r.count, nextInMs: r.next_in_ms }));
}

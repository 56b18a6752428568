/** A look at the queue without touching it: which types have due jobs, and when the next one is due. */
import { behindStart, startsOf } from "./claim-statement.ts";
import type { Sql } from "./db.ts";
import { ALL_LANES } from "./lookups.ts";
import type { LaneStart } from "./rows.ts";

export interface Due {
  type: string;
  /** Due jobs, counted up to the limit. */
  count: number;
  /** Until the earliest job that is not due yet; null: none. */
  nextInMs: number | null;
}

/**
 * One row for each type that has jobs waiting and is not paused. Costs a few index look-ups per (type, priority). `from`: the
 * lanes, and where in them to begin; absent: all of them, from their front.
 */
export async function due(sql: Sql, limit: number, from?: readonly LaneStart[]): Promise<Due[]> {
  const rows = await sql<{ job_type: string; count: number; next_in_ms: number | null }[]>`
    WITH RECURSIVE ${from === undefined ? sql.unsafe(ALL_LANES) : startsOf(sql, from)}
    SELECT l.job_type, sum(d.count)::int AS count,
      extract(epoch FROM min(n.run_at) - now())::float8 * 1000 AS next_in_ms
    FROM walk l
    CROSS JOIN LATERAL (
      SELECT count(*) FROM (
        SELECT FROM ai_ready r WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at <= now()
          ${behindStart(sql, from)} ORDER BY r.job_type, r.priority, r.run_at LIMIT ${limit}) c) d
    LEFT JOIN LATERAL (
      SELECT r.run_at FROM ai_ready r WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at > now()
      ORDER BY r.job_type, r.priority, r.run_at LIMIT 1) n ON true
    WHERE NOT EXISTS (SELECT FROM ai_type_pause p WHERE p.job_type = l.job_type)
    GROUP BY l.job_type HAVING sum(d.count) > 0 OR min(n.run_at) IS NOT NULL`;
  return rows.map((r) => ({ type: r.job_type, count: r.count, nextInMs: r.next_in_ms }));
}

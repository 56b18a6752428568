/** How much waits. */
import type { Sql } from "./db.ts";

/** Jobs that are PENDING, due or not, counted no further than `limit`. */
export async function countPending(sql: Sql, limit: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM (SELECT FROM ai_ready ORDER BY job_type, priority, run_at, id LIMIT ${limit}) r`;
  return row?.count ?? 0;
}

/** Read: what keeps dead rows from being vacuumed away. */
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";

/**
 * How long the oldest snapshot that counts for this database has been held, in seconds; 0 when none is. Postgres shows a
 * user without pg_read_all_stats only sessions of its own.
 */
export async function oldestXminSeconds(db: Pick<Database, "drizzle">): Promise<number> {
  const [row] = await db.drizzle.execute<{ seconds: number | null }>(sql`
    SELECT extract(epoch FROM now() - min(since))::float8 AS seconds FROM (
      SELECT coalesce(xact_start, query_start) AS since FROM pg_stat_activity
      WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
        -- A standby's feedback has no database, and counts for all.
        AND coalesce(datname = current_database(), true)
      UNION ALL
      SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()
    ) holders`);
  return Math.max(0, row?.seconds ?? 0);
}

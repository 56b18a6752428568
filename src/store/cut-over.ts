/** The end of the shared time: what only Django's own claim needs goes. */
import type { Sql } from "./db.ts";
import { type Log, withoutLockTimeout } from "./migrate-steps.ts";

/** With them every move of a job writes three indexes more; docs/cut-over.md tells how to make them again. */
export const DJANGO_CLAIM_INDEXES = ["ai_job_status_next_run_idx", "ai_job_lease_idx"];

/** Drops Django's two claim indexes CONCURRENTLY; answers which were there. */
export async function finishCutOver(sql: Sql, log: Log): Promise<string[]> {
  const dropped: string[] = [];
  for (const name of DJANGO_CLAIM_INDEXES) {
    const [row] = await sql`SELECT to_regclass(${name}) IS NOT NULL AS there`;
    if (!row?.["there"]) {
      log(`${name}: not there, nothing to drop`);
      continue;
    }
    log(`${name}: dropping it; this waits for transactions that use the table, and keeps nobody out`);
    await withoutLockTimeout(sql, () => sql.unsafe(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`));
    dropped.push(`dropped ${name}`);
  }
  return dropped;
}

/** The end of the shared time: what only Django's own claim needs goes. */
import type { Sql } from "./db.ts";
import { type Log, patiently, withoutLockTimeout } from "./migrate-steps.ts";

/** With them every move of a job writes three indexes more; docs/cut-over.md tells how to make them again. */
export const DJANGO_CLAIM_INDEXES = ["ai_job_status_next_run_idx", "ai_job_lease_idx"];

/** With it each result that is stored looks its job up and locks it once more (docs/decisions/021). */
const DJANGO_RESULT_KEY = "ai_result_job_id_63411619_fk_ai_job_id";

/** Drops Django's two claim indexes CONCURRENTLY, and the foreign key of results; answers which were there. */
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
  return [...dropped, ...(await dropResultKey(sql, log))];
}

async function dropResultKey(sql: Sql, log: Log): Promise<string[]> {
  const [row] = await sql`SELECT FROM pg_constraint
    WHERE conrelid = to_regclass('ai_result') AND conname = ${DJANGO_RESULT_KEY}`;
  if (row === undefined) {
    log(`${DJANGO_RESULT_KEY}: not there, nothing to drop`);
    return [];
  }
  log(`${DJANGO_RESULT_KEY}: dropping it; this needs ai_job and ai_result alone for a moment`);
  await patiently(sql, log, () => sql.unsafe(`ALTER TABLE ai_result DROP CONSTRAINT IF EXISTS ${DJANGO_RESULT_KEY}`));
  return [`dropped ${DJANGO_RESULT_KEY}`];
}

/** A step of the retention reads its own rows and no more, also with a plan from the time of an empty table. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { rolledBack } from "../../bench/plan.ts";
import { HOT, openPool, type Sql } from "../../src/store/db.ts";
import { type PruneOptions, prune } from "../../src/store/prune.ts";
import { type FreshDatabase, freshDatabase } from "../support/db.ts";

const ROWS = 20_000;
const LOOK = 100;
const MOST = 10;

let database: FreshDatabase;
let sql: Sql;

beforeAll(async () => {
  database = await freshDatabase();
  sql = openPool({ url: database.url, statementTimeoutMs: 20_000, lockTimeoutMs: 5_000 }, 1, HOT);
  for (const table of ["ai_job", "ai_result"]) await sql.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  await sql`ANALYZE`;
  for (const mode of ["delete", "archive"] as const) await rolledBack(sql, () => step(mode, null));
  await sql`
    WITH job AS (
      INSERT INTO ai_job (job_id, job_type, status, created_at, finished_at, move)
      SELECT 'j' || n, 'ocr', CASE n % 5 WHEN 0 THEN 'RUNNING' ELSE 'DONE' END, now() - interval '40 days',
        now() - interval '39 days', 1 FROM generate_series(1, ${ROWS}::int) n
      RETURNING id)
    INSERT INTO ai_result (payload, job_id) SELECT '{"text": "ok"}', id FROM job`;
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

function step(mode: PruneOptions["mode"], after: string | null) {
  return prune(sql, { days: 30, mode, after, look: LOOK, most: MOST });
}

test.each(["delete", "archive"] as const)("%s reads few rows of twenty thousand", async (mode) => {
  await rolledBack(sql, async () => {
    const before = await rowsRead();
    expect(await step(mode, String(ROWS / 2))).toMatchObject({ gone: MOST });
    // Those it looks at; then each that leaves a few times: to size, lock, copy and remove it, and for the foreign key.
    expect((await rowsRead()) - before).toBeLessThan(LOOK + 10 * MOST);
  });
});

async function rowsRead(): Promise<number> {
  const [row] = await sql<{ read: number }[]>`
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS read FROM pg_stat_xact_user_tables
    WHERE relname IN ('ai_job', 'ai_result', 'ai_job_archive')`;
  return row?.read ?? 0;
}

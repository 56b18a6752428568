/** Other tables that point at jobs, as a Django app's do, and a database that Django made. */
import { expect, onTestFinished, test } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";
import { type PruneOptions, prune } from "../../src/store/prune.ts";
import { retry } from "../../src/store/retry.ts";
import { djangoDatabase } from "../support/bare-database.ts";
import { django } from "../support/django.ts";
import { until } from "../support/until.ts";

const OPTIONS: PruneOptions = { days: 30, mode: "archive", after: null };

/** On Django's tables, adopted; jobs that Django dispatched, claimed and ended 40 days ago, with their results. */
async function adopted(...jobIds: string[]): Promise<{ url: string; sql: Sql }> {
  const { url, sql } = await djangoDatabase();
  for (const jobId of jobIds) {
    await django.dispatch(sql, jobId);
    await django.claim(sql, "w1");
    await django.done(sql, jobId);
  }
  await sql`UPDATE ai_job SET updated_at = now() - interval '40 days'`;
  await migrate(url);
  return { url, sql };
}

const left = async (sql: Sql) => (await sql`SELECT job_id FROM ai_job ORDER BY id`).map((row) => row["job_id"]);

test("on Django's tables jobs from before the broker leave with their results, past its foreign key", async () => {
  const { sql } = await adopted("a", "b");
  expect(await prune(sql, OPTIONS)).toMatchObject({ gone: 2, next: null });
  expect(await left(sql)).toEqual([]);
  expect(await sql`SELECT FROM ai_result`).toHaveLength(0);
  expect(await sql`SELECT job_id, result_at IS NOT NULL AS had FROM ai_job_archive ORDER BY id`).toEqual([
    { job_id: "a", had: true },
    { job_id: "b", had: true },
  ]);
});

test("jobs that rows of other tables point at stay, and the others leave all the same", async () => {
  const { sql } = await adopted("by-id", "by-job-id", "by-result", "cascades", "free");
  await sql.unsafe(`
    CREATE TABLE "Submission" (job bigint REFERENCES ai_job DEFERRABLE INITIALLY DEFERRED, name varchar(64)
      REFERENCES ai_job (job_id));
    CREATE TABLE grade (result_id bigint REFERENCES ai_result);
    CREATE TABLE note (job_id bigint REFERENCES ai_job ON DELETE CASCADE);
    INSERT INTO "Submission" SELECT id, NULL FROM ai_job WHERE job_id = 'by-id';
    INSERT INTO "Submission" VALUES (NULL, 'by-job-id');
    INSERT INTO grade SELECT r.id FROM ai_result r JOIN ai_job j ON j.id = r.job_id WHERE j.job_id = 'by-result';
    INSERT INTO note SELECT id FROM ai_job WHERE job_id = 'cascades'`);
  expect(await prune(sql, OPTIONS)).toMatchObject({ gone: 2 });
  expect(await left(sql)).toEqual(["by-id", "by-job-id", "by-result"]);
  await sql`DELETE FROM grade`;
  expect(await prune(sql, OPTIONS)).toMatchObject({ gone: 1 });
});

test("a role that may not look at such a table is told the GRANT, and no job leaves", async () => {
  const { url, sql } = await adopted("a");
  await sql`CREATE TABLE submission (job_id bigint REFERENCES ai_job)`;
  const { role, pool } = await roleWithoutMore(url, sql);
  await expect(prune(pool, OPTIONS)).rejects.toThrow(`GRANT SELECT ON submission TO ${role}`);
  expect(await left(sql)).toEqual(["a"]);
  await sql.unsafe(`GRANT SELECT ON submission TO ${role}`);
  expect(await prune(pool, OPTIONS)).toMatchObject({ gone: 1 });
});

test("a job that is retried between the look at it and its lock stays", async () => {
  const { url, sql } = await adopted("retried", "other");
  await sql`UPDATE ai_job SET status = 'FAILED' WHERE job_id = 'retried'`;
  await sql`UPDATE ai_job SET finished_at = NULL`;
  const { role, pool } = await roleWithoutMore(url, sql);
  // The look at another table waits at a gate: there the statement has its snapshot, and no lock on the job.
  await sql.unsafe(`
    CREATE TABLE grade (result_id bigint REFERENCES ai_result);
    CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN true; END $$;
    INSERT INTO grade VALUES (NULL);
    ALTER TABLE grade ENABLE ROW LEVEL SECURITY;
    CREATE POLICY gated ON grade USING (gate());
    GRANT SELECT ON grade TO ${role}`);
  const step = await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(42)`;
    const pruned = prune(pool, OPTIONS);
    await until("the step is at the gate", async () => {
      const rows = await sql`SELECT FROM pg_stat_activity WHERE usename = ${role} AND wait_event = 'advisory'`;
      return rows.length === 1;
    });
    expect(await retry(sql, ["retried"])).toMatchObject([{ outcome: "RETRIED" }]);
    return { pruned };
  });
  expect(await step.pruned).toMatchObject({ gone: 1 });
  expect(await sql`SELECT job_id, status FROM ai_job`).toEqual([{ job_id: "retried", status: "PENDING" }]);
});

/** What a broker needs, and no right on tables of others. */
async function roleWithoutMore(url: string, sql: Sql): Promise<{ role: string; pool: Sql }> {
  const role = `aibroker_prune_${process.pid}`;
  await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'canary';
    GRANT SELECT, INSERT, UPDATE, DELETE ON ai_job, ai_result, ai_job_archive TO ${role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${role}`);
  const theirs = new URL(url);
  theirs.username = role;
  theirs.password = "canary";
  const pool = openPool({ url: theirs.href, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 }, 1);
  onTestFinished(async () => {
    await pool.end();
    await sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  return { role, pool };
}

/** A result goes with its job, whoever removes that, with Django's foreign key and without one. */
import { expect } from "vitest";
import type { Sql } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";
import { prune } from "../../src/store/prune.ts";
import { djangoDatabase } from "../support/bare-database.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import { expectNoDrift } from "../support/jobs.ts";

/** Nine jobs that are DONE, each with its result, and two that have none yet; j8 and j9 are old. */
async function givenResults(sql: Sql): Promise<void> {
  await sql`INSERT INTO ai_job (job_id, job_type, status, finished_at) SELECT 'j' || n, 'ocr', 'DONE',
    CASE WHEN n < 8 THEN now() ELSE '2020-01-01' END FROM generate_series(1, 9) n`;
  await sql`INSERT INTO ai_result (job_id, payload) SELECT id, '{}' FROM ai_job`;
  await sql`INSERT INTO ai_job (job_id, job_type, status) VALUES ('waits', 'ocr', 'PENDING'), ('runs', 'ocr', 'RUNNING')`;
}

/** The jobs of all results; null for one without. */
async function jobsOfResults(sql: Sql): Promise<unknown[]> {
  const rows = await sql`SELECT j.job_id FROM ai_result r LEFT JOIN ai_job j ON j.id = r.job_id ORDER BY r.id`;
  return rows.map((row) => row["job_id"]);
}

const keysOfResults = (sql: Sql) =>
  sql`SELECT FROM pg_constraint WHERE conrelid = 'ai_result'::regclass AND contype = 'f'`;

async function expectThatTheyGo(sql: Sql, truncate: string): Promise<void> {
  await givenResults(sql);
  await sql`DELETE FROM ai_job WHERE job_id = 'j1'`;
  await sql`DELETE FROM ai_job WHERE job_id = 'never was'`;
  expect(await jobsOfResults(sql)).toEqual(["j2", "j3", "j4", "j5", "j6", "j7", "j8", "j9"]);
  await sql`DELETE FROM ai_job WHERE job_id IN ('j2', 'j3', 'j4', 'waits', 'runs')`;
  expect(await jobsOfResults(sql)).toEqual(["j5", "j6", "j7", "j8", "j9"]);
  await django.remove(sql, "j5");
  expect(await jobsOfResults(sql)).toEqual(["j6", "j7", "j8", "j9"]);
  expect(await prune(sql, { days: 30, mode: "delete", after: null })).toMatchObject({ gone: 2 });
  expect(await jobsOfResults(sql)).toEqual(["j6", "j7"]);
  await sql.unsafe(truncate);
  expect(await jobsOfResults(sql)).toEqual([]);
}

test("on a database of our own, where no foreign key sees to it", async ({ db }) => {
  expect(await keysOfResults(db.sql)).toEqual([]);
  await expectThatTheyGo(db.sql, "TRUNCATE ai_job");
  await expectNoDrift(db);
});

test("on Django's, whose key is still there, and once the cut-over has dropped it", async () => {
  const { url, sql } = await djangoDatabase();
  await migrate(url);
  expect(await keysOfResults(sql)).toHaveLength(1);
  await expectThatTheyGo(sql, "TRUNCATE ai_job CASCADE");
  await migrate(url, { finishCutOver: true });
  expect(await keysOfResults(sql)).toEqual([]);
  await expectThatTheyGo(sql, "TRUNCATE ai_job");
});

test("where the delete is rolled back, both stay", async ({ db }) => {
  await givenResults(db.sql);
  const rolledBack = db.sql.begin(async (tx) => {
    await tx`DELETE FROM ai_job`;
    expect(await tx`SELECT FROM ai_result`).toEqual([]);
    throw new Error("no");
  });
  await expect(rolledBack).rejects.toThrow("no");
  expect(await jobsOfResults(db.sql)).toHaveLength(9);
});

test("for a role that may write ai_job and nothing else of ours", async ({ db }) => {
  await givenResults(db.sql);
  const role = `django_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  await db.sql.unsafe(`CREATE ROLE ${role}; GRANT SELECT, DELETE ON ai_job TO ${role}`);
  try {
    await db.sql.begin(async (tx) => {
      await tx.unsafe(`SET LOCAL ROLE ${role}`);
      await tx`DELETE FROM ai_job WHERE job_id <> 'j7'`;
    });
    expect(await jobsOfResults(db.sql)).toEqual(["j7"]);
    await expectNoDrift(db);
  } finally {
    await db.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

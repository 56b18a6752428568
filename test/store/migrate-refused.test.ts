/** What migrate refuses, naming what differs and changing nothing. */
import { expect, onTestFinished, test } from "vitest";
import type { Sql } from "../../src/store/db.ts";
import { MigrationRefused, migrate, schemaState } from "../../src/store/migrate.ts";
import { djangoDatabase, emptyDatabase } from "../support/bare-database.ts";
import { fingerprint } from "../support/fingerprint.ts";

async function refused(sql: Sql, url: string): Promise<string> {
  const before = await fingerprint(sql);
  const state = await schemaState(sql);
  expect(state.state).toBe("foreign");
  const error = await migrate(url).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(MigrationRefused);
  expect(await fingerprint(sql)).toEqual(before);
  const { message, differences } = error as MigrationRefused;
  for (const difference of differences) expect(message).toContain(difference);
  return message;
}

for (const upTo of [1, 2, 3, 4] as const) {
  test(`a Django database at 000${upTo}`, async () => {
    const { url, sql } = await djangoDatabase({ upTo });
    const message = await refused(sql, url);
    expect(message).toContain("ai_domain.0005_alter_aijobmodel_error_message_and_more has not been run");
    if (upTo === 1) expect(message).toContain("column ai_job.next_run_at is missing");
    if (upTo === 3) expect(message).toContain("index ai_job_status_ba4967_idx");
  });
}

test("a Django database at 0003 that came without Django's ledger", async () => {
  const { url, sql } = await djangoDatabase({ upTo: 3 });
  await sql`DROP TABLE django_migrations`;
  const message = await refused(sql, url);
  for (const name of ["ai_job_status_40ad65ce", "ai_job_locked__f6f4a2_idx"]) expect(message).toContain(name);
});

const changes: [string, string, string[]][] = [
  [
    "several faults at once",
    `ALTER TABLE ai_job ALTER COLUMN payload TYPE text USING payload::text;
       ALTER TABLE ai_job DROP COLUMN last_error; ALTER TABLE ai_result DROP CONSTRAINT ai_result_job_id_key`,
    [
      "column ai_job.payload is text, not jsonb",
      "column ai_job.last_error is missing",
      "ai_result has no unique key on (job_id)",
    ],
  ],
  ["a shorter varchar", "ALTER TABLE ai_job ALTER COLUMN job_id TYPE varchar(32)", ["character varying(32)"]],
  ["a nullable status", "ALTER TABLE ai_job ALTER COLUMN status DROP NOT NULL", ["column ai_job.status is nullable"]],
  [
    "a required tenant",
    "ALTER TABLE ai_job ALTER COLUMN tenant_id SET NOT NULL",
    ["column ai_job.tenant_id is NOT NULL"],
  ],
  [
    "a column more that must be given",
    "ALTER TABLE ai_job ADD COLUMN owner_id bigint NOT NULL",
    ["column ai_job.owner_id is not known here, and NOT NULL without a default"],
  ],
  ["no unique job_id", "ALTER TABLE ai_job DROP CONSTRAINT ai_job_job_id_key", ["no unique key on (job_id)"]],
  ["no result table", "DROP TABLE ai_result", ["table ai_result is missing"]],
  ["no job table", "DROP TABLE ai_job CASCADE", ["table ai_job is missing"]],
  [
    "a result that points nowhere",
    "ALTER TABLE ai_result DROP CONSTRAINT ai_result_job_id_63411619_fk_ai_job_id",
    ["ai_result.job_id has no foreign key to ai_job.id"],
  ],
  ["one of our columns", "ALTER TABLE ai_job ADD COLUMN priority text", ["column ai_job.priority is there already"]],
  ["a table ai_ready of somebody else", "CREATE TABLE ai_ready (id int)", ["table ai_ready is there already"]],
  ["the column of a later migration", "ALTER TABLE ai_job ADD COLUMN instance_id uuid", ["column ai_job.instance_id"]],
  ["a table ai_session of somebody else", "CREATE TABLE ai_session (id int)", ["table ai_session is there already"]],
  ["a view ai_worker", "CREATE VIEW ai_worker AS SELECT 1 AS x", ["view ai_worker is there already"]],
  [
    "a function of a trigger's name",
    "CREATE FUNCTION ai_job_fence() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ["function ai_job_fence is there already"],
  ],
  [
    "a check that knows no CANCELLED",
    "ALTER TABLE ai_job ADD CONSTRAINT known CHECK (status IN ('PENDING', 'RUNNING', 'DONE', 'FAILED'))",
    ["constraint ai_job.known might refuse"],
  ],
  [
    "foreign exam sheets",
    `ALTER TABLE exams_exam_sheet DROP CONSTRAINT exams_exam_sheet_exam_id_check;
       ALTER TABLE exams_exam_sheet ALTER COLUMN exam_id TYPE text, ADD COLUMN at date NOT NULL`,
    ["column exams_exam_sheet.exam_id is text, not integer", "column exams_exam_sheet.at is not known here"],
  ],
  ["ids that nothing makes", "ALTER TABLE ai_job ALTER COLUMN id DROP IDENTITY", ["neither an identity nor a serial"]],
  [
    "a ledger of another application",
    `CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id serial, hash text, created_at bigint);
       INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('abc', 1)`,
    ["entries of another application"],
  ],
];
for (const [name, change, expected] of changes) {
  test(name, async () => {
    const { url, sql } = await djangoDatabase();
    await sql.unsafe(change);
    const message = await refused(sql, url);
    for (const text of expected) expect(message).toContain(text);
  });
}

test("a partitioned ai_job, and a view", async () => {
  const { url, sql } = await emptyDatabase();
  await sql`CREATE TABLE ai_job (id bigint) PARTITION BY RANGE (id)`;
  await sql`CREATE VIEW ai_result AS SELECT 1 AS id`;
  const message = await refused(sql, url);
  expect(message).toContain("ai_job is a partitioned table, not a plain table");
  expect(message).toContain("ai_result is a view, not a plain table");
});

test("tables in another schema than the first of search_path", async () => {
  const { url, sql } = await djangoDatabase();
  await sql.unsafe(
    `CREATE SCHEMA first; ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET search_path = first, public`,
  );
  const error = await migrate(url).catch((thrown: unknown) => thrown);
  expect(String(error)).toContain("ai_job is in schema public, but first comes first in search_path");
});

test("a database that has lost a table and a column which its ledger tells of", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`DROP TABLE ai_lease`;
  await sql`ALTER TABLE ai_job DROP COLUMN traceparent`;
  const message = await refused(sql, url);
  expect(message).toContain("table ai_lease is missing, although its migration was run");
  expect(message).toContain("column ai_job.traceparent is missing");
});

test("a database whose migration had another content", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`UPDATE drizzle.__drizzle_migrations SET hash = 'edited' WHERE id = 2`;
  expect(await refused(sql, url)).toContain("migration 0001_broker was run with another content");
});

test("a database of a newer version", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('from the future', 9999999999999)`;
  expect(await schemaState(sql)).toMatchObject({ state: "newer", detail: expect.stringContaining("update") });
  await expect(migrate(url)).rejects.toThrow(/newer ai-job-broker/);
});

test("a role that may not, by the grants it lacks", async () => {
  const { url, sql } = await djangoDatabase();
  const role = `limited_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  await sql.unsafe(`CREATE ROLE ${role} LOGIN`);
  onTestFinished(async () => {
    await sql.unsafe(`DROP OWNED BY ${role}`);
    await sql.unsafe(`DROP ROLE ${role}`);
  });
  const limited = new URL(url);
  limited.username = role;
  const error = await migrate(limited.href).catch((thrown: unknown) => thrown);
  expect(String(error)).toMatch(/GRANT CREATE ON DATABASE .* ai_job is owned by another role/s);
});

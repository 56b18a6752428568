/** What stands in the way of an adoption, found out without a write. */
import { expect, onTestFinished, test } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { MigrationRefused, migrate, schemaState } from "../../src/store/migrate.ts";
import { takenNames } from "../../src/store/migrate-preflight.ts";
import { djangoDatabase, emptyDatabase } from "../support/bare-database.ts";
import { fingerprint } from "../support/fingerprint.ts";

test.for([
  [
    "an ai_job that a crash would empty",
    "ALTER TABLE ai_result SET UNLOGGED; ALTER TABLE ai_job SET UNLOGGED",
    ["ai_job is not a permanent, logged table", "ai_result is not a permanent, logged table"],
  ],
  [
    "ids that nobody may give",
    "ALTER TABLE ai_job ALTER COLUMN id SET GENERATED ALWAYS",
    ["column ai_job.id is GENERATED ALWAYS"],
  ],
  [
    "rows that even the owner does not see",
    "ALTER TABLE ai_job ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    ["ai_job has FORCE ROW LEVEL SECURITY"],
  ],
  ["child tables", "CREATE TABLE old_job () INHERITS (ai_job)", ["ai_job has child tables"]],
  [
    "a partition of another table",
    `ALTER TABLE ai_job ALTER COLUMN id DROP IDENTITY; CREATE TABLE every_job (LIKE ai_job) PARTITION BY LIST (status);
     ALTER TABLE every_job ATTACH PARTITION ai_job FOR VALUES IN ('PENDING')`,
    ["ai_job is a partition of another table"],
  ],
] as [string, string, string[]][])("%s: refused, and left as it is", async ([, change, expected]) => {
  const { url, sql } = await djangoDatabase();
  await sql.unsafe(change);
  const before = await fingerprint(sql);
  const error = await migrate(url).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(MigrationRefused);
  expect((error as MigrationRefused).differences).toEqual(expect.arrayContaining(expected));
  expect(await fingerprint(sql)).toEqual(before);
});

test("row level security that does not bind the owner is no hindrance", async () => {
  const { sql } = await djangoDatabase();
  await sql`ALTER TABLE ai_job ENABLE ROW LEVEL SECURITY`;
  expect((await schemaState(sql)).state).toBe("django");
});

test("another application's table django_migrations says nothing", async () => {
  const { url, sql } = await djangoDatabase();
  await sql`DROP TABLE django_migrations`;
  await sql`CREATE TABLE django_migrations (id int)`;
  expect((await migrate(url)).from).toBe("django");
  expect((await schemaState(sql)).state).toBe("current");
});

test("a ledger of a Django without this app says nothing", async () => {
  const { url, sql } = await djangoDatabase();
  await sql`DELETE FROM django_migrations WHERE app = 'ai_domain'`;
  expect((await migrate(url)).from).toBe("django");
});

test("whatever has one of our names already is called what it is", async () => {
  const { sql } = await emptyDatabase();
  await sql.unsafe(`
    CREATE TABLE theirs (id int); CREATE INDEX ai_lease_request_idx ON theirs (id);
    CREATE SEQUENCE ai_broker; CREATE TYPE ai_event AS (id int);
    CREATE MATERIALIZED VIEW ai_worker AS SELECT 1 AS id;
    CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE ai_delivery (id int) SERVER far`);
  expect((await schemaState(sql)).differences).toEqual([
    "sequence ai_broker is there already, not made by a migration",
    "foreign table ai_delivery is there already, not made by a migration",
    "relation ai_event is there already, not made by a migration",
    "index ai_lease_request_idx is there already, not made by a migration",
    "materialized view ai_worker is there already, not made by a migration",
  ]);
});

test("a migration that makes nothing takes no name", async () => {
  const { sql } = await emptyDatabase();
  await sql`CREATE TABLE ai_ready (id int)`;
  expect(await takenNames(sql, ["0000_django", "0007_results"])).toEqual([]);
  expect(await takenNames(sql, ["0001_broker"])).toHaveLength(1);
});

test("a database whose ledger tells of a table ai_job that is gone", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`DROP TABLE ai_job CASCADE`;
  expect(await schemaState(sql)).toMatchObject({
    state: "foreign",
    differences: ["the ledger says that migrations were run, but table ai_job is missing"],
  });
});

test("a database with a migration between ours that this version does not know", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('from a branch', 1)`;
  expect(await schemaState(sql)).toMatchObject({
    state: "foreign",
    differences: ["drizzle.__drizzle_migrations has entries between ours that this version does not know"],
  });
  await expect(migrate(url)).rejects.toBeInstanceOf(MigrationRefused);
});

test("a dropped source index is an online step that is still to be run", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  await sql`DROP INDEX ai_job_source_idx`;
  expect(await schemaState(sql)).toMatchObject({
    state: "older",
    detail: expect.stringContaining("ai_job_source_idx"),
  });
  expect((await migrate(url)).done).toEqual(["ai_job_source_idx"]);
});

/** Has the database answer what an older or another server would: its own functions come before Postgres's. */
async function pretend(url: string, sql: Sql, functions: string): Promise<void> {
  await sql.unsafe(functions);
  await sql.unsafe(`ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET search_path = public, pg_catalog`);
}

test("a Postgres that is too old", async () => {
  const { url, sql } = await djangoDatabase();
  await pretend(
    url,
    sql,
    `CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS
    $$ SELECT CASE name WHEN 'server_version_num' THEN '120022' ELSE '12.22' END $$`,
  );
  const before = await fingerprint(sql);
  await expect(migrate(url)).rejects.toThrow("PostgreSQL 12.22 is too old: 13 or newer is needed");
  expect(await fingerprint(sql)).toEqual(before);
});

test("a standby", async () => {
  const { url, sql } = await djangoDatabase();
  await pretend(url, sql, "CREATE FUNCTION public.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true'");
  const before = await fingerprint(sql);
  await expect(migrate(url)).rejects.toThrow("this server is a standby: migrate the primary");
  expect(await fingerprint(sql)).toEqual(before);
});

/** The URL for a role of the test's own, which owns nothing. */
async function asRole(url: string, sql: Sql, grants: (role: string) => string): Promise<{ url: string; role: string }> {
  const role = `limited_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  await sql.unsafe(`CREATE ROLE ${role} LOGIN; ${grants(role)}`);
  onTestFinished(async () => {
    await sql.unsafe(`DROP OWNED BY ${role}`);
    await sql.unsafe(`DROP ROLE ${role}`);
  });
  const limited = new URL(url);
  limited.username = role;
  return { url: limited.href, role };
}

test("a role that may read all and write nothing, by the grants it lacks", async () => {
  const { url, sql } = await djangoDatabase();
  const limited = await asRole(url, sql, (role) => `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`);
  const before = await fingerprint(sql);
  const error = (await migrate(limited.url).catch((thrown: unknown) => thrown)) as MigrationRefused;
  expect(error).toBeInstanceOf(MigrationRefused);
  expect(error.differences).toContain(`GRANT CREATE ON SCHEMA "public" TO "${limited.role}"`);
  expect(error.differences).toContain("ai_job is owned by another role: run migrate as its owner");
  expect(error.cause).toBeUndefined();
  expect(await fingerprint(sql)).toEqual(before);
});

test("a role whose search_path names no schema is told of public", async () => {
  const { url, sql } = await emptyDatabase();
  const limited = await asRole(url, sql, (role) => `ALTER ROLE ${role} SET search_path = nowhere`);
  await expect(migrate(limited.url)).rejects.toThrow(`GRANT CREATE ON SCHEMA "public" TO "${limited.role}"`);
});

test("a failure that has nothing to do with rights is told as it came", async () => {
  const { url, sql } = await emptyDatabase();
  await sql`CREATE SCHEMA drizzle`;
  await sql`CREATE TABLE drizzle.__drizzle_migrations (id int)`;
  const before = await fingerprint(sql);
  await expect(migrate(url)).rejects.toMatchObject({ code: "42703" });
  expect(await fingerprint(sql)).toEqual(before);
});

test("migrate names who is in its way, also one without a name, and tries rows that are held until they are free", async () => {
  const { url, sql } = await djangoDatabase();
  await sql`INSERT INTO ai_job (created_at, updated_at, job_id, job_type, status, payload, error_message, attempt_count,
      max_attempts, next_run_at, last_error)
    VALUES (now(), now(), 'held', 'ocr', 'PENDING', '{}', '', 0, 5, now(), '')`;
  const holder = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  onTestFinished(() => holder.end());
  await holder.unsafe("SET application_name = ''; SET idle_in_transaction_session_timeout = 0");
  const hold = () => holder.unsafe("BEGIN; SELECT FROM ai_job FOR UPDATE");

  await hold();
  const tries = Promise.withResolvers<void>();
  const lines: string[] = [];
  const migrated = migrate(url, {
    log: (line) => {
      lines.push(line);
      if (line.startsWith("try ")) tries.resolve();
    },
  });
  await Promise.race([tries.promise, migrated]);
  await holder.unsafe("COMMIT");
  await migrated;
  expect(lines.find((line) => line.startsWith("try 1"))).toMatch(/held by pid \d+ \(no name, idle in transaction/);

  await sql.begin((tx) => tx.unsafe("SET LOCAL session_replication_role = replica; DELETE FROM ai_ready"));
  await sql`DELETE FROM ai_step WHERE name = 'fill'`;
  await hold();
  const twice = Promise.withResolvers<void>();
  let held = 0;
  const filled = migrate(url, {
    log: (line) => void (line.includes("trying them again") && ++held === 2 && twice.resolve()),
  });
  await Promise.race([twice.promise, filled]);
  expect(await sql`SELECT FROM ai_ready`).toHaveLength(0);
  await holder.unsafe("COMMIT");
  expect((await filled).done).toEqual(["fill"]);
  expect(await sql`SELECT FROM ai_ready`).toHaveLength(1);
});

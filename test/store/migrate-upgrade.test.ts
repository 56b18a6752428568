/** A database of the version before, with a broker of that version still at work on it, is brought to this one. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator";
import { expect, onTestFinished, test } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { migrate, schemaState } from "../../src/store/migrate.ts";
import { knownMigrations, MIGRATIONS_FOLDER, writeBaseline } from "../../src/store/migrate-ledger.ts";
import { runSteps } from "../../src/store/migrate-steps.ts";
import { type BareDatabase, djangoDatabase, emptyDatabase } from "../support/bare-database.ts";
import { openTestDatabase } from "../support/db.ts";
import { django } from "../support/django.ts";
import { fingerprint } from "../support/fingerprint.ts";
import { done, expectNoDrift, givenJob, givenLease, givenSeatLease, reportAll } from "../support/jobs.ts";

/** Brings a database to the schema of migration 0001, triggers and steps included. */
async function migrateTo0001({ url, sql }: BareDatabase, isDjango: boolean): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "migrations-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp(MIGRATIONS_FOLDER, folder, { recursive: true });
  const path = join(folder, "meta/_journal.json");
  const journal = JSON.parse(await readFile(path, "utf8")) as { entries: unknown[] };
  await writeFile(path, JSON.stringify({ ...journal, entries: journal.entries.slice(0, 2) }));
  if (isDjango) await sql.begin((tx) => writeBaseline(tx));
  const own = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  await runMigrations(drizzle(own), { migrationsFolder: folder }).finally(() => own.end());
  await asIn0001(sql);
  await runSteps(sql, () => undefined);
  await asIn0001(sql);
  await sql`UPDATE ai_step SET version = 'of 0001' WHERE name = 'triggers'`;
}

/** The trigger functions as that version had them: they know no instance_id and no events. */
async function asIn0001(sql: Sql): Promise<void> {
  const functions = await sql`SELECT pg_get_functiondef(oid) AS text FROM pg_proc
    WHERE proname IN ('ai_job_fence', 'ai_job_keep_states')`;
  for (const { text } of functions) {
    const older = String(text)
      .replace("NEW.event_seq := OLD.event_seq + 1;", "")
      .replace(/IF TG_OP = 'UPDATE' AND .*?ai_event.*?END IF;/s, "")
      .replace("NEW.instance_id := NULL;", "")
      .replace("cancel_at, instance_id)", "cancel_at)")
      .replace(", NEW.instance_id)", ")")
      .replace(/,\s+instance_id = excluded.instance_id/, "");
    expect(older).not.toMatch(/[a-z.]instance_id|event/);
    await sql.unsafe(older);
  }
}

const tuples = (sql: Sql) =>
  sql`SELECT 'job' AS what, id, xmin::text, ctid::text FROM ai_job
    UNION ALL SELECT 'lease', id, xmin::text, ctid::text FROM ai_lease ORDER BY 1, 2`;

test("gets what is new, without a change to any row, and ends with the very schema of a fresh one", async () => {
  const older = await emptyDatabase();
  const { url, sql } = older;
  await migrateTo0001(older, false);
  await django.dispatch(sql, "j1");
  await django.dispatch(sql, "j2");
  expect(await django.claim(sql, "old-worker")).toBe("j1");
  expect(await schemaState(sql)).toMatchObject({ state: "older", detail: expect.stringContaining("0002_streams") });
  const before = await tuples(sql);

  const newer = knownMigrations().flatMap(({ tag }) => (tag > "0001_broker" ? [tag] : []));
  expect(await migrate(url)).toMatchObject({ from: "older", done: [...newer, "triggers", "fill"] });

  expect(await tuples(sql)).toEqual(before);
  expect((await schemaState(sql)).state).toBe("current");
  expect(await migrate(url)).toMatchObject({ from: "current", done: [] });
  const fresh = await emptyDatabase();
  await migrate(fresh.url);
  expect(await fingerprint(sql)).toEqual(await fingerprint(fresh.sql));
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
});

test("one that was adopted from Django keeps its leases, and Django goes on beside", async () => {
  const older = await djangoDatabase();
  const { url, sql } = older;
  await migrateTo0001(older, true);
  for (const id of ["j1", "j2", "j3"]) await django.dispatch(sql, id);
  expect(await django.claim(sql, "old-worker")).toBe("j1");
  // As the broker of that version claims.
  await sql`WITH job AS (UPDATE ai_job SET status = 'RUNNING', locked_by = 'w1', lease_token = 't2', attempt_count = 1,
      lease_expires_at = now() + interval '1 minute', move = move + 1 WHERE job_id = 'j2' RETURNING *),
    gone AS (DELETE FROM ai_ready USING job WHERE ai_ready.id = job.id)
    INSERT INTO ai_lease (id, expires_at, worker_id) SELECT id, lease_expires_at, 'w1' FROM job`;
  await migrate(url);
  const db = openTestDatabase(url);
  onTestFinished(() => db.close());
  expect(await reportAll(db, done({ jobId: "j2", token: "t2" }))).toEqual(["ACCEPTED"]);
  expect(await givenSeatLease(db)).toMatchObject({ jobId: "j3", instanceId: "i1" });
  await sql`UPDATE ai_job SET status = 'PENDING', locked_by = NULL WHERE job_id = 'j3'`;
  expect(await django.claim(sql, "old-worker")).toBe("j3");
  await expectNoDrift(db);
});

test("moves go on while it is brought up to date", async () => {
  const older = await emptyDatabase();
  const { url, sql } = older;
  await migrateTo0001(older, false);
  let over = false;
  const upgrade = migrate(url).finally(() => {
    over = true;
  });
  const writer = async () => {
    for (let n = 0; n === 0 || !over; n++) {
      await django.dispatch(sql, `j${n}`);
      expect(await django.claim(sql, "old-worker")).toBe(`j${n}`);
      await django.done(sql, `j${n}`);
    }
  };
  await Promise.all([upgrade, writer()]);
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
  const db = openTestDatabase(url);
  onTestFinished(() => db.close());
  const jobId = await givenJob(db);
  expect(await givenLease(db)).toMatchObject({ jobId });
});

test("is refused, and unchanged, where somebody else has taken a name that it needs", async () => {
  const older = await emptyDatabase();
  const { url, sql } = older;
  await migrateTo0001(older, false);
  await sql`CREATE VIEW ai_broker AS SELECT 1 AS x`;
  await sql`ALTER TABLE ai_job ADD COLUMN instance_id text`;
  const before = await fingerprint(sql);
  expect((await schemaState(sql)).differences).toEqual([
    "column ai_job.instance_id is there already, not made by a migration",
    "view ai_broker is there already, not made by a migration",
  ]);
  await expect(migrate(url)).rejects.toThrow(/view ai_broker is there already/);
  expect(await fingerprint(sql)).toEqual(before);
});

test("a database that had the first 0007, which left the same schema, is up to date, and has nothing to do", async () => {
  const { url, sql } = await emptyDatabase();
  await migrate(url);
  const first = "e0a591e7a62e5f8b87ba26f5728d5f9bb3ddff05a21331742bb6b3ede2a5d3e9";
  const { hash = "" } = knownMigrations().find(({ tag }) => tag === "0007_results") ?? {};
  const changed = await sql`UPDATE drizzle.__drizzle_migrations SET hash = ${first} WHERE hash = ${hash}`;
  expect(changed.count).toBe(1);
  expect(await schemaState(sql)).toMatchObject({ state: "current" });
  expect(await migrate(url)).toMatchObject({ done: [] });
});

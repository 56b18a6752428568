/** What migrate makes of an empty database and of one that Django made. */
import { describe, expect, test } from "vitest";
import type { Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { migrate, schemaState } from "../../src/store/migrate.ts";
import { djangoDatabase, emptyDatabase } from "../support/bare-database.ts";
import { type DjangoSchema, django } from "../support/django.ts";
import { fingerprint } from "../support/fingerprint.ts";

/** One job in each state that Django knows, as its own code leaves them. */
async function givenDjangoJobs(sql: Sql): Promise<void> {
  for (const id of ["failed", "done", "held"]) {
    await django.dispatch(sql, id);
    await django.claim(sql, `${id}-worker`);
    if (id === "done") await django.done(sql, id);
    if (id === "failed") {
      await sql`UPDATE ai_job SET attempt_count = 5 WHERE job_id = 'failed'`;
      await django.markFailed(sql, id);
    }
  }
  await sql`UPDATE ai_job SET lease_expires_at = NULL WHERE job_id = 'held'`;
  await django.dispatch(sql, "running");
  await django.claim(sql, "w1");
  for (const id of ["waiting", "retrying"]) await django.dispatch(sql, id, "embedding");
  await django.markFailed(sql, "retrying");
}

const djangoRows = (sql: Sql) =>
  sql`SELECT xmin::text, ctid::text, id, created_at, updated_at, job_id, job_type, status, payload, error_message,
    tenant_id, source_domain, source_id, attempt_count, max_attempts, locked_by, locked_at, lease_expires_at,
    last_heartbeat_at, next_run_at, last_error FROM ai_job ORDER BY id`;

describe("an empty database", () => {
  test("gets everything, and a second run does nothing and says so", async () => {
    const { url, sql } = await emptyDatabase();
    expect(await schemaState(sql)).toMatchObject({ state: "empty", detail: expect.stringContaining("migrate") });

    expect(await migrate(url)).toMatchObject({ from: "empty", done: expect.arrayContaining(["0000_django", "fill"]) });
    expect((await schemaState(sql)).state).toBe("current");

    const before = await fingerprint(sql);
    expect(await migrate(url)).toEqual({ from: "current", done: [], detail: "nothing to do" });
    expect(await fingerprint(sql)).toEqual(before);
  });

  test("has none of the indexes that only Django's claim reads", async () => {
    const { url, sql } = await emptyDatabase();
    await migrate(url);
    const rows = await sql`SELECT indexname FROM pg_indexes WHERE tablename = 'ai_job' ORDER BY 1`;
    expect(rows.map((row) => row["indexname"])).toEqual([
      "ai_job_idempotency_idx",
      "ai_job_job_id_key",
      "ai_job_pkey",
      "ai_job_source_idx",
    ]);
  });

  test("may hold another app's exam sheets already", async () => {
    const { url, sql } = await emptyDatabase();
    await sql.unsafe(`CREATE TABLE exams_exam_sheet (id serial PRIMARY KEY, exam_id integer NOT NULL,
      sheet_id integer NOT NULL, UNIQUE (exam_id, sheet_id))`);
    await sql`INSERT INTO exams_exam_sheet (exam_id, sheet_id) VALUES (1, 2)`;
    expect((await migrate(url)).from).toBe("empty");
    expect(await sql`SELECT exam_id, sheet_id FROM exams_exam_sheet`).toMatchObject([{ exam_id: 1, sheet_id: 2 }]);
  });
});

describe("a database made by the Django migrations", () => {
  const shapes: [string, DjangoSchema][] = [
    ["with identity ids", {}],
    ["with serial ids, as before Django 4.1", { serial: true }],
    ["without the exams app", { withoutSheets: true }],
  ];
  for (const [name, schema] of shapes) {
    test(`${name} is adopted without a change to any row`, async () => {
      const { url, sql } = await djangoDatabase(schema);
      await givenDjangoJobs(sql);
      const rows = await djangoRows(sql);
      const results = await sql`SELECT xmin::text, * FROM ai_result`;
      expect((await schemaState(sql)).state).toBe("django");

      const outcome = await migrate(url);

      expect(outcome).toMatchObject({ from: "django", done: expect.arrayContaining(["baseline", "0001_broker"]) });
      expect(outcome.done).not.toContain("0000_django");
      expect(await djangoRows(sql)).toEqual(rows);
      expect(await sql`SELECT xmin::text, * FROM ai_result`).toEqual(results);
      expect((await schemaState(sql)).state).toBe("current");
      expect(await migrate(url)).toMatchObject({ from: "current", done: [] });
    });
  }

  test("finds its waiting and running jobs in the small tables", async () => {
    const { url, sql } = await djangoDatabase();
    await givenDjangoJobs(sql);
    await migrate(url);
    expect(
      await sql`SELECT j.job_id, r.job_type, r.priority, r.run_at = j.next_run_at AS same, r.bytes
        FROM ai_ready r JOIN ai_job j USING (id) ORDER BY id`,
    ).toMatchObject([
      { job_id: "waiting", job_type: "embedding", priority: 0, same: true, bytes: 19 },
      { job_id: "retrying", job_type: "embedding", priority: 0, same: true, bytes: 19 },
    ]);
    expect(
      await sql`SELECT j.job_id, l.worker_id, l.expires_at IS NULL AS endless FROM ai_lease l JOIN ai_job j USING (id)
        ORDER BY id`,
    ).toMatchObject([
      { job_id: "held", worker_id: "held-worker", endless: true },
      { job_id: "running", worker_id: "w1", endless: false },
    ]);
    expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
  });

  test("ends with the very schema of a fresh one, but for what Django has more", async () => {
    const adopted = await djangoDatabase();
    const fresh = await emptyDatabase();
    await migrate(adopted.url, { finishCutOver: true });
    await migrate(fresh.url);
    await adopted.sql`DROP INDEX ai_job_job_id_b1f64c92_like`;
    await adopted.sql`DROP TABLE django_migrations`;
    expect(await fingerprint(adopted.sql)).toEqual(await fingerprint(fresh.sql));
  });

  test("loses its claim indexes and the key of results when the cut-over is finished, once", async () => {
    const { url, sql } = await djangoDatabase();
    await migrate(url);
    const lines: string[] = [];
    expect((await migrate(url, { finishCutOver: true, log: (line) => lines.push(line) })).done).toEqual([
      "dropped ai_job_status_next_run_idx",
      "dropped ai_job_lease_idx",
      "dropped ai_result_job_id_63411619_fk_ai_job_id",
    ]);
    expect((await migrate(url, { finishCutOver: true, log: (line) => lines.push(line) })).done).toEqual([]);
    expect(lines).toContain("ai_job_lease_idx: not there, nothing to drop");
    const rows = await sql`SELECT to_regclass('ai_job_job_id_b1f64c92_like') IS NOT NULL AS like_stays`;
    expect(rows[0]?.["like_stays"]).toBe(true);
  });

  test("gets the source index back when somebody had dropped it", async () => {
    const { url, sql } = await djangoDatabase();
    await sql`DROP INDEX ai_job_source_idx`;
    await migrate(url);
    expect(await sql`SELECT indexdef FROM pg_indexes WHERE indexname = 'ai_job_source_idx'`).toHaveLength(1);
  });
});

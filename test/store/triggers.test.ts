/** What other writers do to ai_job, and what the triggers make of it. */
import { describe, expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { report } from "../../src/store/report.ts";
import { missingTriggers } from "../../src/store/triggers.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  done,
  EXPIRED,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

describe("a job of Django's", () => {
  test("can be claimed, reported and finished here", async ({ db }) => {
    await django.dispatch(db.sql, "j1");
    await expectNoDrift(db);
    const lease = await givenLease(db);
    expect(lease).toMatchObject({ jobId: "j1", type: "ocr", attempt: 1 });
    expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
    await expectNoDrift(db);
  });

  test("inserted by plain SQL with nothing but its id and type is PENDING at once", async ({ db }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type) SELECT 'j' || n, 'ocr' FROM generate_series(1, 50) n`;
    await expectNoDrift(db);
    expect(await claimAs(db, "w1", { limit: 100 })).toHaveLength(50);
  });

  test("inserted in a state of rest costs nothing and stands nowhere", async ({ db }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type, status) VALUES ('j1', 'ocr', 'DONE')`;
    await expectNoDrift(db);
  });

  test("claimed by Django is not handed out here, and is reclaimed here when it runs out", async ({ db }) => {
    await django.dispatch(db.sql, "j1");
    expect(await django.claim(db.sql, "old-worker", EXPIRED)).toBe("j1");
    await expectNoDrift(db);
    expect(await claimAs(db, "w1")).toEqual([]);
    expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId: "j1", to: "PENDING", workerId: "old-worker" }]);
    expect(await claimAs(db, "w1")).toMatchObject([{ jobId: "j1", attempt: 2 }]);
    await expectNoDrift(db);
  });

  test("goes through claim, failure, retry and end by Django's own code without a drift", async ({ db }) => {
    await django.dispatch(db.sql, "j1");
    await django.claim(db.sql, "old-worker");
    await django.heartbeat(db.sql, "j1", "old-worker");
    await expectNoDrift(db);
    await django.markFailed(db.sql, "j1", -1_000);
    await expectNoDrift(db);
    await django.claim(db.sql, "old-worker");
    await django.done(db.sql, "j1");
    await expectNoDrift(db);
    expect(await rowOf(db, "j1")).toMatchObject({ status: "DONE", finished_at: expect.any(Date), attempt_count: 2 });
    await django.remove(db.sql, "j1");
    await expectNoDrift(db);
  });

  test("running without an expiry is never reclaimed", async ({ db }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type, status, locked_by) VALUES ('j1', 'ocr', 'RUNNING', 'x')`;
    await expectNoDrift(db);
    expect(await reclaim(db.sql, 10)).toEqual([]);
  });
});

describe("a lease of ours", () => {
  const changes: [string, string][] = [
    ["ends", "status = 'DONE'"],
    ["takes back", "status = 'PENDING', locked_by = NULL, locked_at = NULL, lease_expires_at = NULL"],
    ["hands to another worker", "locked_by = 'other'"],
    ["claims anew", "attempt_count = attempt_count + 1, locked_at = now()"],
    ["gives another expiry", "lease_expires_at = lease_expires_at + interval '1 minute'"],
  ];
  for (const [what, change] of changes) {
    test(`that another writer ${what} no longer matches its token`, async ({ db }) => {
      const jobId = await givenJob(db);
      const lease = await givenLease(db);
      await db.sql.unsafe(`UPDATE ai_job SET ${change} WHERE job_id = '${jobId}'`);
      await expectNoDrift(db);
      expect(await reportAll(db, done(lease))).toEqual(["LEASE_LOST"]);
      const [renewal] = await heartbeat(db.sql, [{ jobId, token: lease.token, progress: null }], 60_000);
      expect(renewal?.verdict).toBe("LOST");
      await expectNoDrift(db);
    });
  }

  test("that Django reclaimed and claimed again does not match either", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db, "w1", { leaseMs: EXPIRED });
    expect(await django.claim(db.sql, "old-worker")).toBe(jobId);
    expect(await reportAll(db, done(lease))).toEqual(["LEASE_LOST"]);
    expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", locked_by: "old-worker", attempt_count: 2 });
    await expectNoDrift(db);
  });

  test("outlives an admin's save, which writes every column and changes none of the lease", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    await django.adminSave(db.sql, jobId);
    await django.heartbeat(db.sql, jobId, "w1");
    await db.sql`UPDATE ai_job SET source_id = 'x', payload = '{"image_path": "longer.png"}' WHERE job_id = ${jobId}`;
    await expectNoDrift(db);
    expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
  });

  test("is not replayed to its Claim's repetition once another writer holds the job", async ({ db }) => {
    const jobId = await givenJob(db);
    await givenLease(db, "w1", { requestId: "r1" });
    await db.sql`UPDATE ai_job SET locked_by = 'other' WHERE job_id = ${jobId}`;
    expect(await db.sql`SELECT request_id, worker_id FROM ai_lease`).toEqual([
      { request_id: null, worker_id: "other" },
    ]);
  });

  test("keeps the end of a requested cancel when another writer changes it", async ({ db }) => {
    const jobId = await givenJob(db);
    await givenLease(db);
    await cancel(db.sql, [jobId], "enough", 30_000);
    await db.sql`UPDATE ai_job SET locked_by = 'other' WHERE job_id = ${jobId}`;
    expect(await db.sql`SELECT cancel_at > now() AS due FROM ai_lease`).toEqual([{ due: true }]);
  });
});

describe("what another writer's change leaves in the broker's columns", () => {
  test("a claim forgets what settled the attempt before", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    await report(db.sql, [failed(lease, { retryDelayMs: 0 })], DEFAULT_BACKOFF);
    expect(await reportAll(db, failed(lease))).toEqual(["DUPLICATE"]);
    expect(await django.claim(db.sql, "old-worker")).toBe(jobId);
    expect(await rowOf(db, jobId)).toMatchObject({ settled_token: null, settled_as: null });
    expect(await reportAll(db, failed(lease))).toEqual(["LEASE_LOST"]);
  });

  test("an end has a time, and a job that is opened again has none", async ({ db }) => {
    await django.dispatch(db.sql, "j1");
    await django.markDone(db.sql, "j1");
    const first = (await rowOf(db, "j1"))["finished_at"];
    expect(first).toBeInstanceOf(Date);
    await django.markDone(db.sql, "j1");
    expect((await rowOf(db, "j1"))["finished_at"]).toEqual(first);
    await django.publish(db.sql, "j1");
    expect((await rowOf(db, "j1"))["finished_at"]).toBeNull();
    await expectNoDrift(db);
  });

  test("a cancelled job that Django opens again can run", async ({ db }) => {
    const jobId = await givenJob(db);
    await cancel(db.sql, [jobId], "enough", 0);
    await django.publish(db.sql, jobId);
    const lease = await givenLease(db);
    expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
    expect(await statusOf(db, jobId)).toBe("DONE");
  });
});

describe("the small tables follow", () => {
  test("a new time, type, priority, payload or id of a waiting job", async ({ db }) => {
    const jobId = await givenJob(db);
    for (const change of [
      "next_run_at = now() + interval '1 hour'",
      "job_type = 'embedding'",
      "priority = -5",
      `payload = '{"texts": ["a", "b"]}'`,
      "id = 1000000",
    ]) {
      await db.sql.unsafe(`UPDATE ai_job SET ${change} WHERE job_id = '${jobId}'`);
      await expectNoDrift(db);
    }
    expect(await db.sql`SELECT job_type, priority, id::int FROM ai_ready`).toEqual([
      { job_type: "embedding", priority: -5, id: 1_000_000 },
    ]);
  });

  test("a delete, a truncate, and an update of all rows", async ({ db }) => {
    for (let n = 0; n < 6; n++) await givenJob(db);
    await givenLease(db);
    await db.sql`UPDATE ai_job SET status = CASE WHEN id % 2 = 0 THEN 'PENDING' ELSE 'RUNNING' END`;
    await expectNoDrift(db);
    await db.sql`DELETE FROM ai_job WHERE id % 3 = 0`;
    await expectNoDrift(db);
    await db.sql`TRUNCATE ai_job CASCADE`;
    await expectNoDrift(db);
  });

  test("a role that may write ai_job and nothing else of ours", async ({ db }) => {
    const role = `django_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
    await db.sql.unsafe(`CREATE ROLE ${role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ai_job TO ${role}`);
    try {
      await db.sql.begin(async (tx) => {
        await tx.unsafe(`SET LOCAL ROLE ${role}`);
        await tx`INSERT INTO ai_job (job_id, job_type) VALUES ('j1', 'ocr'), ('j2', 'ocr')`;
        await tx`UPDATE ai_job SET status = 'RUNNING' WHERE job_id = 'j1'`;
        await tx`DELETE FROM ai_job WHERE job_id = 'j2'`;
      });
      await expectNoDrift(db);
    } finally {
      await db.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  test("a search_path with a table of the same name cannot lead the trigger astray", async ({ db }) => {
    await db.sql.begin(async (tx) => {
      await tx`CREATE TEMP TABLE ai_ready (LIKE public.ai_ready) ON COMMIT DROP`;
      await tx`SET LOCAL search_path = pg_temp, public`;
      await tx`INSERT INTO ai_job (job_id, job_type) VALUES ('j1', 'ocr')`;
      expect(await tx`SELECT count(*)::int AS n FROM pg_temp.ai_ready`).toEqual([{ n: 0 }]);
    });
    await expectNoDrift(db);
  });
});

test("our own moves fire no trigger", async ({ db }) => {
  await db.sql`CREATE TABLE fired (name text)`;
  await db.sql.unsafe(`CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO fired VALUES (TG_NAME); RETURN NULL; END$$`);
  // The same conditions as the real ones, noted instead of acted on.
  const rows = await db.sql`SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger
    WHERE tgrelid = 'ai_job'::regclass AND tgname IN ('ai_job_put', 'ai_job_move', 'ai_job_fence')`;
  for (const row of rows) {
    const text = String(row["text"]).replace(/TRIGGER (\w+) BEFORE/, "TRIGGER $1 AFTER");
    await db.sql.unsafe(
      text.replace(/TRIGGER (\w+)/, "TRIGGER note_$1").replace(/EXECUTE FUNCTION .*/, "EXECUTE FUNCTION note()"),
    );
  }
  try {
    const jobId = await givenJob(db);
    await reportAll(db, failed(await givenLease(db), { retryDelayMs: 0 }));
    const lease = await givenLease(db, "w1", { leaseMs: EXPIRED });
    await heartbeat(db.sql, [{ jobId, token: lease.token, progress: null }], EXPIRED);
    await reclaim(db.sql, 10);
    await cancel(db.sql, [jobId], "enough", 0);
    expect(await statusOf(db, jobId)).toBe("CANCELLED");
    expect(await db.sql`SELECT name FROM fired`).toEqual([]);
    await django.publish(db.sql, jobId);
    expect((await db.sql`SELECT name FROM fired ORDER BY 1`).map((row) => row["name"])).toEqual([
      "note_ai_job_fence",
      "note_ai_job_move",
    ]);
  } finally {
    await db.sql`DROP FUNCTION note() CASCADE`;
    await db.sql`DROP TABLE fired`;
  }
});

test("a trigger that is missing or switched off is named", async ({ db }) => {
  expect(await missingTriggers(db.sql)).toEqual([]);
  await db.sql
    .begin(async (tx) => {
      await tx`ALTER TABLE ai_job DISABLE TRIGGER ai_job_put`;
      await tx`DROP TRIGGER ai_job_clear ON ai_job`;
      expect(await missingTriggers(tx)).toEqual(["ai_job_put", "ai_job_clear"]);
      throw new Rollback();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Rollback)) throw error;
    });
  expect(await missingTriggers(db.sql)).toEqual([]);
});

class Rollback extends Error {}

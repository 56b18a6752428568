import { describe, expect } from "vitest";
import type { Status } from "../../src/job/status.ts";
import { cancel } from "../../src/store/cancel.ts";
import { type Database, openPool, type Sql } from "../../src/store/db.ts";
import { archivedAt, hasTurn, type PruneOptions, prune, pruneResults } from "../../src/store/prune.ts";
import { retry } from "../../src/store/retry.ts";
import { brokerSeen } from "../../src/store/sessions.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  done,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";
import { until } from "../support/until.ts";

const OPTIONS: PruneOptions = { days: 30, mode: "delete", after: null };

/** A job that ended so many days ago, by the moves; a DONE and a FAILED one have a result row. */
async function givenEnded(db: Database, days: number, status: Status = "DONE"): Promise<string> {
  const jobId = await givenJob(db);
  if (status === "CANCELLED") await cancel(db.sql, [jobId], "", 0);
  else {
    const lease = await givenLease(db);
    await reportAll(db, status === "DONE" ? done(lease) : failed(lease, { retryable: false }));
  }
  await dateBack(db, jobId, days);
  return jobId;
}

async function dateBack(db: Database, jobId: string, days: number): Promise<void> {
  await db.sql`UPDATE ai_job SET created_at = created_at - ${days}::int * interval '1 day',
    finished_at = finished_at - ${days}::int * interval '1 day' - interval '1 second' WHERE job_id = ${jobId}`;
}

const idsOf = async (db: Database): Promise<string[]> =>
  (await db.sql`SELECT job_id FROM ai_job ORDER BY id`).map((row) => String(row["job_id"]));

const countOf = async (db: Database, table: string): Promise<number> =>
  Number((await db.sql.unsafe(`SELECT count(*)::int AS n FROM ${table}`))[0]?.["n"]);

describe("who leaves", () => {
  test("ended jobs whose days are over, with their results; younger and live ones stay", async ({ db }) => {
    for (const status of ["DONE", "FAILED", "CANCELLED"] as const) await givenEnded(db, 30, status);
    const young = await givenEnded(db, 29);
    const waiting = await givenJob(db, { type: "old" });
    const held = await givenJob(db, { type: "held" });
    await givenLease(db, "w1", { types: ["held"] });
    for (const jobId of [waiting, held]) {
      await db.sql`UPDATE ai_job SET created_at = '2020-01-01', updated_at = '2020-01-01' WHERE job_id = ${jobId}`;
    }
    expect(await prune(db.background, OPTIONS)).toEqual({ gone: 3, next: null, young: false });
    expect(await idsOf(db)).toEqual([young, waiting, held]);
    expect(await countOf(db, "ai_result")).toBe(1);
    expect(await countOf(db, "ai_job_archive")).toBe(0);
    await expectNoDrift(db);
  });

  test("of jobs that Django ended before the broker came the last write counts", async ({ db }) => {
    for (const [jobId, days] of Object.entries({ old: 31, young: 29 })) {
      await django.dispatch(db.sql, jobId);
      await givenLease(db);
      await db.sql`UPDATE ai_job SET status = 'DONE', finished_at = NULL, move = move + 1,
        updated_at = now() - ${days}::int * interval '1 day' WHERE job_id = ${jobId}`;
      await db.sql`DELETE FROM ai_lease`;
      await db.sql`INSERT INTO ai_result (payload, job_id) SELECT '{}', id FROM ai_job WHERE job_id = ${jobId}`;
    }
    expect(await prune(db.background, OPTIONS)).toMatchObject({ gone: 1 });
    expect(await idsOf(db)).toEqual(["young"]);
  });

  test("a status that nobody knows is no end", async ({ db }) => {
    const jobId = await givenEnded(db, 90);
    await db.sql`UPDATE ai_job SET status = 'PARKED', move = move + 1 WHERE job_id = ${jobId}`;
    expect(await prune(db.background, OPTIONS)).toMatchObject({ gone: 0 });
  });

  test("an idempotency key and an id are free again once their job has left", async ({ db }) => {
    const first = await givenJob(db, { id: "again", idempotencyKey: "k" });
    await reportAll(db, done(await givenLease(db)));
    await dateBack(db, first, 40);
    await prune(db.background, { ...OPTIONS, mode: "archive" });
    expect(await givenJob(db, { id: "again", idempotencyKey: "k", payload: '{"other": 1}' })).toBe("again");
    await reportAll(db, done(await givenLease(db)));
    await dateBack(db, "again", 40);
    expect(await prune(db.background, { ...OPTIONS, mode: "archive" })).toMatchObject({ gone: 1 });
    expect(await countOf(db, "ai_job_archive")).toBe(2);
  });
});

describe("the archive", () => {
  test("holds the job and its result as they stood", async ({ db }) => {
    const jobId = await givenJob(db, {
      payload: '{"n": 12345678901234567890.10}',
      tenantId: "t",
      sourceDomain: "exams",
      sourceId: "7",
      priority: 3,
      maxAttempts: 2,
      idempotencyKey: "key",
      traceparent: "00-1",
    });
    await reportAll(db, done(await givenLease(db, "w7"), { result: '{"text": 0.10}' }));
    await dateBack(db, jobId, 40);
    const { id: _, payload_text, ...before } = await rowOf(db, jobId);
    await prune(db.background, { ...OPTIONS, mode: "archive" });
    const [row] =
      await db.sql`SELECT *, payload::text AS payload_text, result::text AS result_text FROM ai_job_archive`;
    const columns = Object.keys(row ?? {}).filter((name) => name in before);
    expect(columns.length).toBeGreaterThan(20);
    expect(row).toMatchObject(Object.fromEntries(columns.map((name) => [name, before[name]])));
    expect(row).toMatchObject({ payload_text, result_text: '{"text": 0.10}', locked_by: "w7", status: "DONE" });
    expect(await idsOf(db)).toEqual([]);
    expect(await archivedAt(db.sql, jobId)).toEqual(row?.["archived_at"]);
    expect(await archivedAt(db.sql, "another")).toBe(null);
  });

  test("tells no result from one without a payload", async ({ db }) => {
    const none = await givenEnded(db, 40, "CANCELLED");
    const empty = await givenJob(db);
    await reportAll(db, done(await givenLease(db), { result: null }));
    await dateBack(db, empty, 40);
    await prune(db.background, { ...OPTIONS, mode: "archive" });
    const rows = await db.sql`SELECT job_id, result_at IS NULL AS none FROM ai_job_archive ORDER BY id`;
    expect(rows).toEqual([
      { job_id: none, none: true },
      { job_id: empty, none: false },
    ]);
  });
});

describe("a step", () => {
  test("is bounded in rows, jobs and bytes, and the steps together meet each job once", async ({ db }) => {
    const ids: string[] = [];
    for (let n = 0; n < 9; n++) ids.push(await givenEnded(db, n % 3 === 1 ? 1 : 40));
    const gone: number[] = [];
    let after: string | null = null;
    do {
      const step = await prune(db.background, { ...OPTIONS, after, look: 4, most: 2 });
      gone.push(step.gone);
      after = step.next;
    } while (after !== null);
    // 40 1 40 40 | 1 40 40 1 | 40: of the first four two leave and one comes with the next step.
    expect(gone.reduce((sum, n) => sum + n)).toBe(6);
    expect(Math.max(...gone)).toBe(2);
    expect(await idsOf(db)).toEqual(ids.filter((_, n) => n % 3 === 1));
  });

  test("of large jobs takes as many as its bytes allow, and one at least", async ({ db }) => {
    for (let n = 0; n < 3; n++) {
      await givenJob(db, { payload: JSON.stringify({ text: noise(40_000) }) });
      const lease = await givenLease(db);
      await reportAll(db, done(lease, { result: JSON.stringify({ text: noise(40_000) }) }));
      await dateBack(db, lease.jobId, 40);
    }
    const options = { ...OPTIONS, maxBytes: 200_000 };
    const first = await prune(db.background, options);
    expect(first).toMatchObject({ gone: 2, next: expect.any(String) });
    expect(await prune(db.background, { ...options, after: first.next, maxBytes: 1 })).toMatchObject({ gone: 1 });
  });

  test("tells when it has come to jobs that are too young to have ended long ago", async ({ db }) => {
    const old = await givenEnded(db, 40);
    await givenEnded(db, 1);
    expect(await prune(db.background, { ...OPTIONS, look: 1 })).toMatchObject({ gone: 1, young: false });
    expect(await prune(db.background, OPTIONS)).toMatchObject({ gone: 0, young: true });
    expect(await idsOf(db)).not.toContain(old);
  });
});

/** Text that does not compress well. */
function noise(length: number): string {
  let text = "";
  while (text.length < length) text += Math.random().toString(36).slice(2);
  return text.slice(0, length);
}

describe("beside others", () => {
  test("a job that a retry holds is passed over, and stays once the retry has committed", async ({ db }) => {
    const jobId = await givenEnded(db, 40, "FAILED");
    const other = await givenEnded(db, 40);
    await db.sql.begin(async (tx) => {
      expect(await retry(tx as unknown as Sql, [jobId])).toMatchObject([{ outcome: "RETRIED" }]);
      expect(await prune(db.background, OPTIONS)).toMatchObject({ gone: 1, next: null });
    });
    expect(await idsOf(db)).toEqual([jobId]);
    expect(other).not.toBe(jobId);
    expect(await statusOf(db, jobId)).toBe("PENDING");
    expect(await prune(db.background, OPTIONS)).toMatchObject({ gone: 0 });
    await expectNoDrift(db);
  });

  test("a retry that waits for a job that leaves is told NOT_FOUND", async ({ db }) => {
    const jobId = await givenEnded(db, 40, "FAILED");
    const pruned = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const leaving = db.background.begin(async (tx) => {
      await prune(tx as unknown as Sql, OPTIONS);
      pruned.resolve();
      await over.promise;
    });
    leaving.catch(pruned.reject);
    await pruned.promise;
    const retried = retry(db.sql, [jobId]);
    over.resolve();
    await leaving;
    expect(await retried).toMatchObject([{ outcome: "NOT_FOUND" }]);
    await expectNoDrift(db);
  });

  test("Django's delete, which takes the result before its job, is let through", async ({ db }) => {
    const jobId = await givenEnded(db, 40);
    await givenEnded(db, 40);
    const step = await db.sql.begin(async (tx) => {
      await tx`DELETE FROM ai_result WHERE job_id = (SELECT id FROM ai_job WHERE job_id = ${jobId})`;
      const pruned = prune(db.background, OPTIONS);
      await until("the step waits for the result", async () => {
        const rows = await db.sql`SELECT FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        return rows.length === 1;
      });
      await tx`DELETE FROM ai_job WHERE job_id = ${jobId}`;
      return { pruned };
    });
    expect(await step.pruned).toMatchObject({ gone: 1 });
    expect(await idsOf(db)).toEqual([]);
  });

  test("two brokers that prune, and operators that retry and cancel, lose no job and leave no row behind", async ({
    db,
    url,
  }) => {
    const second = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 }, 1);
    const ids: string[] = [];
    for (let n = 0; n < 80; n++) ids.push(await givenEnded(db, 40, n % 2 === 0 ? "FAILED" : "DONE"));
    const told = new Map<string, string>();
    let over = false;
    const pruner = async (sql: Sql) => {
      while (!over) await prune(sql, { ...OPTIONS, mode: "archive", most: 3 });
    };
    const operators = async () => {
      for (let n = ids.length; n > 0; n -= 4) {
        const some = ids.slice(n - 4, n);
        for (const { jobId, outcome } of await retry(db.sql, some)) told.set(jobId, outcome);
        await cancel(db.sql, some.slice(0, 1), "", 0);
        await reportAll(db, ...(await claimAs(db, "w1", { limit: 1 })).map((lease) => done(lease)));
      }
      over = true;
    };
    await Promise.all([pruner(db.background), pruner(second), operators()]);
    await second.end();
    const left = new Set(await idsOf(db));
    for (const [jobId, outcome] of told) {
      if (outcome === "RETRIED") expect(left, jobId).toContain(jobId);
      else if (outcome === "NOT_FOUND") expect(left, jobId).not.toContain(jobId);
    }
    expect(left.size + (await countOf(db, "ai_job_archive"))).toBe(ids.length);
    const orphans = await db.sql`SELECT FROM ai_result r WHERE NOT EXISTS (SELECT FROM ai_job WHERE id = r.job_id)`;
    expect(orphans).toHaveLength(0);
    await expectNoDrift(db);
  });

  test("the broker that has been there the longest prunes, and the next one once it is gone", async ({ db }) => {
    await brokerSeen(db.sql, "second");
    await brokerSeen(db.sql, "first");
    await db.sql`UPDATE ai_broker SET started_at = now() - interval '1 hour' WHERE broker_id = 'first'`;
    expect([await hasTurn(db.sql, "first"), await hasTurn(db.sql, "second")]).toEqual([true, false]);
    await db.sql`UPDATE ai_broker SET seen_at = now() - interval '1 minute' WHERE broker_id = 'first'`;
    expect([await hasTurn(db.sql, "first"), await hasTurn(db.sql, "second")]).toEqual([false, true]);
  });
});

test("results of earlier lives leave by their own age", async ({ db }) => {
  for (const name of ["old", "young"]) {
    await db.sql`INSERT INTO ai_result_archive (job_id, status, attempt_count, error_message, created_at, archived_at)
      VALUES (${name}, 'FAILED', 1, '', now(), now() - ${name === "old" ? 31 : 29}::int * interval '1 day')`;
  }
  expect(await pruneResults(db.background, 30)).toEqual({ full: false });
  expect(await db.sql`SELECT job_id FROM ai_result_archive`).toEqual([{ job_id: "young" }]);
});

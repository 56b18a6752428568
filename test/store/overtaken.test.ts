/**
 * A statement sees the rows of the moment it began. One that then waits for a job, while somebody else moves that job,
 * must go by the job as it is when the lock is got, and must leave the small tables true to it: the state rows that the
 * other has written are invisible to its snapshot. Two sessions prove it, with the other's transaction held open.
 */
import { describe, expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database, Sql } from "../../src/store/db.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { release, releaseJobs } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import { update } from "../../src/store/update.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  done,
  expectNoDrift,
  expire,
  failed,
  givenJob,
  givenLease,
  legacyDone,
  resultsOf,
  rowOf,
  statusOf,
} from "../support/jobs.ts";
import { until } from "../support/until.ts";

/** Runs `move` while a transaction that has made `change` is open, and commits that one as soon as the move waits. */
async function overtaken<T>(db: Database, change: (db: Database) => Promise<unknown>, move: () => Promise<T>) {
  const made = Promise.withResolvers<void>();
  const commit = Promise.withResolvers<void>();
  const other = db.sql.begin(async (tx) => {
    const sql = tx as unknown as Sql;
    await change({ ...db, sql, reserved: sql });
    made.resolve();
    await commit.promise;
  });
  other.catch(made.reject);
  await made.promise;
  const moved = move();
  try {
    await until("the move waits for the other's lock", async () => {
      const [row] = await db.reserved`SELECT count(*)::int AS waiting FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return row?.["waiting"] === 1;
    });
  } finally {
    commit.resolve();
    await other;
  }
  return moved;
}

const cancelOf = (db: Database, jobId: string, graceMs = 60_000) => cancel(db.sql, [jobId], "enough", graceMs);
const doneByLegacy = (db: Database, jobId: string) => legacyReport(db.reserved, legacyDone(jobId), DEFAULT_BACKOFF);

describe("a cancel", () => {
  test("of a job that is claimed meanwhile is requested, and its grace runs", async ({ db }) => {
    const jobId = await givenJob(db);
    const answers = await overtaken(
      db,
      (other) => givenLease(other),
      () => cancelOf(db, jobId, 0),
    );
    expect(answers).toMatchObject([{ outcome: "REQUESTED", status: "RUNNING" }]);
    await expectNoDrift(db);
    expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId, to: "CANCELLED" }]);
  });

  test("of a job that comes back meanwhile leaves nothing to claim", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answers = await overtaken(
      db,
      (other) => release(other.sql, [lease], 20),
      () => cancelOf(db, jobId),
    );
    expect(answers).toMatchObject([{ outcome: "CANCELLED", status: "CANCELLED" }]);
    await expectNoDrift(db);
  });

  test("of a job that gets another time meanwhile leaves nothing to claim", async ({ db }) => {
    const jobId = await givenJob(db);
    const answers = await overtaken(
      db,
      (other) => django.publish(other.sql, jobId),
      () => cancelOf(db, jobId),
    );
    expect(answers).toMatchObject([{ outcome: "CANCELLED" }]);
    await expectNoDrift(db);
  });

  test("answers in order when only some of its jobs were moved meanwhile", async ({ db }) => {
    const ids = [await givenJob(db), await givenJob(db), await givenJob(db)];
    const lease = await givenLease(db);
    const answers = await overtaken(
      db,
      (other) => report(other.sql, [done(lease)], DEFAULT_BACKOFF),
      () => cancel(db.sql, [...ids, "none", ...ids], "enough", 60_000),
    );
    expect(answers.map((a) => [a.jobId, a.outcome])).toEqual([
      [ids[0], "UNCHANGED"],
      [ids[1], "CANCELLED"],
      [ids[2], "CANCELLED"],
      ["none", "NOT_FOUND"],
      [ids[0], "UNCHANGED"],
      [ids[1], "CANCELLED"],
      [ids[2], "CANCELLED"],
    ]);
    await expectNoDrift(db);
  });
});

describe("a legacy worker's DONE", () => {
  test("for a job that is claimed meanwhile leaves no lease behind", async ({ db }) => {
    const jobId = await givenJob(db);
    const answer = await overtaken(
      db,
      (other) => givenLease(other),
      () => doneByLegacy(db, jobId),
    );
    expect(answer).toMatchObject({ verdict: "done", to: "DONE" });
    await expectNoDrift(db);
  });

  test("for a job that comes back meanwhile leaves nothing to claim", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answer = await overtaken(
      db,
      (other) => release(other.sql, [lease], 20),
      () => doneByLegacy(db, jobId),
    );
    expect(answer).toMatchObject({ verdict: "done" });
    await expectNoDrift(db);
    expect(await claimAs(db, "w2")).toEqual([]);
  });

  test("for a job that ends meanwhile changes nothing", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answer = await overtaken(
      db,
      (other) => report(other.sql, [done(lease)], DEFAULT_BACKOFF),
      () => doneByLegacy(db, jobId),
    );
    expect(answer.verdict).toBe("duplicate_ignored");
    expect(await resultsOf(db, jobId)).toEqual(['{"text": "ok"}']);
  });
});

describe("by an operator", () => {
  test("a release of a job that is claimed meanwhile takes the new lease along", async ({ db }) => {
    const jobId = await givenJob(db);
    const answers = await overtaken(
      db,
      (other) => givenLease(other),
      () => releaseJobs(db.sql, [jobId], { reason: "", delayMs: 0, maxDeliveries: 20 }),
    );
    expect(answers).toMatchObject([{ outcome: "RELEASED", status: "PENDING" }]);
    await expectNoDrift(db);
  });

  test("another priority for a job that comes back meanwhile holds for its new place", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answers = await overtaken(
      db,
      (other) => release(other.sql, [lease], 20),
      () => update(db.sql, [jobId], 5),
    );
    expect(answers).toMatchObject([{ outcome: "UPDATED", status: "PENDING", type: "ocr" }]);
    expect((await rowOf(db, jobId))["priority"]).toBe(5);
    await expectNoDrift(db);
  });
});

test("a retry of a job that fails meanwhile archives the result that came with the failure", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  const answers = await overtaken(
    db,
    (other) => report(other.sql, [failed(lease, { retryable: false, result: '{"at": 3}' })], DEFAULT_BACKOFF),
    () => retry(db.sql, [jobId]),
  );
  expect(answers).toMatchObject([{ outcome: "RETRIED" }]);
  expect(await resultsOf(db, jobId)).toEqual([]);
  const archived = await db.sql`SELECT job_id, status, payload::text AS payload FROM ai_result_archive`;
  expect(archived).toEqual([{ job_id: jobId, status: "FAILED", payload: '{"at": 3}' }]);
  await expectNoDrift(db);
});

describe("with a token that is current when it starts and no longer when it gets the lock", () => {
  const takeBack = async (other: Database) => expect(await reclaim(other.sql, 10)).toHaveLength(1);

  test("a heartbeat is LOST and extends nothing", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    await expire(db, jobId);
    const answers = await overtaken(db, takeBack, () =>
      heartbeat(db.reserved, [{ ...lease, progress: { percent: 50, note: null } }], 60_000),
    );
    expect(answers).toEqual([{ jobId, verdict: "LOST", type: null, expiresAt: null }]);
    expect(await rowOf(db, jobId)).toMatchObject({ status: "PENDING", progress_percent: null, lease_expires_at: null });
    await expectNoDrift(db);
  });

  test("a report is LEASE_LOST and stores nothing", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    await expire(db, jobId);
    const answers = await overtaken(
      db,
      async (other) => {
        await takeBack(other);
        await givenLease(other, "w2");
      },
      () => report(db.reserved, [done(lease)], DEFAULT_BACKOFF),
    );
    expect(answers).toMatchObject([{ status: "LEASE_LOST", to: null }]);
    expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", locked_by: "w2", attempt_count: 2 });
    expect(await resultsOf(db, jobId)).toEqual([]);
    await expectNoDrift(db);
  });

  test("a release gives nothing back", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answers = await overtaken(
      db,
      (other) => report(other.sql, [done(lease)], DEFAULT_BACKOFF),
      () => release(db.reserved, [lease], 20),
    );
    expect(answers).toMatchObject([{ released: false, to: null }]);
    expect(await statusOf(db, jobId)).toBe("DONE");
    await expectNoDrift(db);
  });

  test("a report is CANCELLED when the cancel came first", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenLease(db);
    const answers = await overtaken(
      db,
      (other) => cancelOf(other, jobId),
      () => report(db.reserved, [done(lease)], DEFAULT_BACKOFF),
    );
    expect(answers).toMatchObject([{ status: "CANCELLED", to: "CANCELLED" }]);
    await expectNoDrift(db);
  });
});

test("a heartbeat never shortens a lease that a later one has been told of", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db, "w1", { leaseMs: 60_000 });
  const beat = { ...lease, progress: null };
  const [renewal] = await heartbeat(db.reserved, [beat], 90_000);
  await heartbeat(db.reserved, [beat], 30_000);
  expect((await rowOf(db, jobId))["lease_expires_at"]).toEqual(renewal?.expiresAt);
  await expectNoDrift(db);
});

describe("passes over what another transaction holds:", () => {
  test("a claim finds the job of another lane behind the one that is held", async ({ db }) => {
    await givenJob(db, { type: "held", priority: -1 });
    const free = await givenJob(db, { type: "free" });
    await db.sql.begin(async (tx) => {
      await tx`SELECT FROM ai_job WHERE job_type = 'held' FOR UPDATE`;
      expect(await claimAs({ ...db, sql: db.reserved }, "w1")).toMatchObject([{ jobId: free }]);
    });
    await expectNoDrift(db);
  });

  test("a claim finds it behind an ai_ready row that belongs to nobody", async ({ db }) => {
    await db.sql`INSERT INTO ai_ready VALUES ('gone', -1, now() - interval '1 hour', 999999, 2)`;
    const free = await givenJob(db, { type: "free" });
    expect(await claimAs(db, "w1")).toMatchObject([{ jobId: free }]);
  });

  test("a reclaim locks no more jobs than it takes back", async ({ db }) => {
    for (let n = 0; n < 5; n++) await givenJob(db);
    await claimAs(db, "w1", { limit: 5, leaseMs: -1_000 });
    await db.sql.begin(async (tx) => {
      expect(await reclaim(tx as unknown as Sql, 2)).toHaveLength(2);
      expect(await reclaim(db.reserved, 10)).toHaveLength(3);
    });
    await expectNoDrift(db);
  });
});

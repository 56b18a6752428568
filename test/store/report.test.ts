import { expect } from "vitest";
import { backoffMs, DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { report, backoffMs as sqlBackoffMs } from "../../src/store/report.ts";
import { test } from "../support/db.ts";
import {
  claimAs,
  done,
  EXPIRED,
  expectNoDrift,
  expire,
  failed,
  givenJob,
  givenLease,
  legacyDone,
  makeDue,
  reportAll,
  resultsOf,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

test("DONE stores the result as it is and keeps who did it, as Django leaves the row", async ({ db }) => {
  const jobId = await givenJob(db);
  const before = await givenLease(db);
  await reportAll(db, failed(before, { error: "first try" }));
  await makeDue(db, jobId);
  const lease = await givenLease(db, "w2");
  expect(await reportAll(db, done(lease, { result: "{}" }))).toEqual(["ACCEPTED"]);
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "DONE",
    error_message: "",
    last_error: "first try",
    locked_by: "w2",
    lease_token: null,
    attempt_count: 2,
  });
  const row = await rowOf(db, jobId);
  for (const kept of ["locked_at", "lease_expires_at", "last_heartbeat_at", "finished_at"])
    expect(row[kept]).toBeInstanceOf(Date);
  expect(await resultsOf(db, jobId)).toEqual(["{}"]);
});

test("a result may be absent, and numbers in it stay exact", async ({ db }) => {
  const one = await givenJob(db);
  await reportAll(db, done(await givenLease(db), { result: null }));
  expect(await resultsOf(db, one)).toEqual([null]);
  const two = await givenJob(db);
  await reportAll(db, done(await givenLease(db), { result: '{"id":9007199254740993,"x":12.0}' }));
  expect(await resultsOf(db, two)).toEqual(['{"x": 12.0, "id": 9007199254740993}']);
});

test("FAILED for good writes its result row once and clears the lease", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  expect(await reportAll(db, failed(lease, { retryable: false, result: '{"at": 3}' }))).toEqual(["ACCEPTED"]);
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "FAILED",
    error_message: "it broke",
    last_error: "it broke",
    locked_by: null,
    locked_at: null,
    lease_expires_at: null,
  });
  expect(await resultsOf(db, jobId)).toEqual(['{"at": 3}']);
  await expectNoDrift(db);
});

test("a report says how old its job is: since its dispatch, or since its run_at if it has been tried once", async ({
  db,
}) => {
  const shift = (jobId: string, created: number, due: number, attempt: number) => db.sql`
    UPDATE ai_job SET created_at = now() - ${created}::float8 * interval '1 second', attempt_count = ${attempt},
      next_run_at = now() - ${due}::float8 * interval '1 second', move = move + 1 WHERE job_id = ${jobId}`;
  const ageOf = async (created: number, due: number, attempt: number, legacy = false) => {
    await givenJob(db);
    const lease = await givenLease(db);
    await shift(lease.jobId, created, due, attempt);
    const [settled] = legacy
      ? [await legacyReport(db.reserved, legacyDone(lease.jobId), DEFAULT_BACKOFF)]
      : await report(db.reserved, [done(lease)], DEFAULT_BACKOFF);
    return Math.floor((settled?.ageMs ?? Number.NaN) / 1_000);
  };
  for (const legacy of [false, true]) {
    expect(await ageOf(100, 100, 1, legacy)).toBe(100);
    expect(await ageOf(100, 40, 1, legacy)).toBe(40);
    expect(await ageOf(100, 40, 2, legacy)).toBe(100);
  }
  const lease = { jobId: "no-such-job", token: "x" };
  expect(await report(db.reserved, [done(lease)], DEFAULT_BACKOFF)).toMatchObject([{ ageMs: null }]);
  expect(await legacyReport(db.reserved, legacyDone("no-such-job"), DEFAULT_BACKOFF)).toMatchObject({ ageMs: null });
});

test("a report that is sent again answers by what the first one did", async ({ db }) => {
  await givenJob(db);
  const lease = await givenLease(db);
  expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
  expect(await reportAll(db, done(lease))).toEqual(["DUPLICATE"]);
  expect(await reportAll(db, failed(lease))).toEqual(["CONFLICT"]);
  expect(await resultsOf(db, lease.jobId)).toEqual(['{"text": "ok"}']);
});

test("a repeated retryable failure is DUPLICATE until the next claim, then LEASE_LOST", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  expect(await reportAll(db, failed(lease))).toEqual(["RETRYING"]);
  expect(await reportAll(db, failed(lease), done(lease))).toEqual(["DUPLICATE", "CONFLICT"]);
  await makeDue(db, jobId);
  await givenLease(db);
  expect(await reportAll(db, failed(lease))).toEqual(["LEASE_LOST"]);
});

test("one batch may name a job twice: the first item decides", async ({ db }) => {
  await givenJob(db);
  const a = await givenLease(db);
  expect(await reportAll(db, failed(a), done(a), failed(a), done({ jobId: "no-such-job", token: "x" }))).toEqual([
    "RETRYING",
    "CONFLICT",
    "DUPLICATE",
    "NOT_FOUND",
  ]);
  expect(await rowOf(db, a.jobId)).toMatchObject({ status: "PENDING", attempt_count: 1, settled_as: "FAILED" });
  await givenJob(db, { type: "other" });
  const b = await givenLease(db, "w1", { types: ["other"] });
  const twice = [done(b), failed(b, { retryable: false }), done(b)];
  expect(await reportAll(db, ...twice)).toEqual(["ACCEPTED", "CONFLICT", "DUPLICATE"]);
  expect(await rowOf(db, b.jobId)).toMatchObject({ status: "DONE", settled_as: "DONE", last_error: "" });
  await expectNoDrift(db);
});

test("a report after the lease's end is taken: the token decides, not the clock", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db, "w1", { leaseMs: EXPIRED });
  expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
  expect(await statusOf(db, jobId)).toBe("DONE");
});

test("the last attempt's failure ends the job", async ({ db }) => {
  const jobId = await givenJob(db, { maxAttempts: 2 });
  expect(await reportAll(db, failed(await givenLease(db)))).toEqual(["RETRYING"]);
  await makeDue(db, jobId);
  expect(await reportAll(db, failed(await givenLease(db)))).toEqual(["ACCEPTED"]);
  expect(await rowOf(db, jobId)).toMatchObject({ status: "FAILED", attempt_count: 2 });
});

test("a cancel drops the result; a repeat still answers CANCELLED", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  await cancel(db.sql, [jobId], "not needed", 60_000);
  expect(await reportAll(db, done(lease), failed(lease))).toEqual(["CANCELLED", "CANCELLED"]);
  expect(await reportAll(db, done(lease))).toEqual(["CANCELLED"]);
  expect(await rowOf(db, jobId)).toMatchObject({ status: "CANCELLED", cancel_reason: "not needed" });
  expect(await resultsOf(db, jobId)).toEqual([]);
  await expectNoDrift(db);
});

test("a result row that Django's FAILED left behind is replaced by the DONE", async ({ db }) => {
  const jobId = await givenJob(db);
  await db.sql`INSERT INTO ai_result (created_at, updated_at, payload, job_id)
    SELECT now(), now(), NULL, id FROM ai_job WHERE job_id = ${jobId}`;
  expect(await reportAll(db, done(await givenLease(db)))).toEqual(["ACCEPTED"]);
  expect(await resultsOf(db, jobId)).toEqual(['{"text": "ok"}']);
});

async function delayMs(db: Database, jobId: string): Promise<number> {
  const [row] = await db.sql<{ ms: number }[]>`
    SELECT extract(epoch FROM next_run_at - updated_at)::float8 * 1000 AS ms FROM ai_job WHERE job_id = ${jobId}`;
  return row?.ms ?? Number.NaN;
}

test("the wait before a retry is the backoff of its attempt, or what the worker asked for", async ({ db }) => {
  const jobId = await givenJob(db, { maxAttempts: 20 });
  for (let attempt = 1; attempt <= 8; attempt++) {
    await makeDue(db, jobId);
    await reportAll(db, failed(await givenLease(db)));
    expect(await delayMs(db, jobId)).toBe(backoffMs(attempt));
  }
  await makeDue(db, jobId);
  await reportAll(db, failed(await givenLease(db), { retryDelayMs: 1_234 }));
  expect(await delayMs(db, jobId)).toBe(1_234);
});

test("the backoff in SQL is the pure one, for any attempt and setting", async ({ db }) => {
  for (const backoff of [DEFAULT_BACKOFF, { baseMs: 7, maxMs: 1e12, jitter: 0 }, { baseMs: 0, maxMs: 0, jitter: 0 }]) {
    const rows = await db.sql<{ n: number; ms: number }[]>`
      SELECT j.attempt_count AS n, ${sqlBackoffMs(db.sql, backoff)} AS ms FROM generate_series(0, 60) AS j (attempt_count)`;
    for (const { n, ms } of rows) expect(ms, `attempt ${n}`).toBe(backoffMs(n, backoff));
  }
  const jittered = { ...DEFAULT_BACKOFF, jitter: 1 };
  const rows = await db.sql<{ ms: number }[]>`
    SELECT ${sqlBackoffMs(db.sql, jittered)} AS ms FROM (SELECT 3 AS attempt_count FROM generate_series(1, 200)) j`;
  expect(new Set(rows.map((r) => r.ms)).size).toBeGreaterThan(100);
  expect(rows.every(({ ms }) => ms >= 8_000 && ms <= 16_000)).toBe(true);
});

test("a heartbeat answers for each lease and keeps what progress it does not name", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  const beat = (progress: { percent: number | null; note: string | null } | null, token = lease.token) =>
    heartbeat(db.reserved, [{ jobId, token, progress }], 60_000);
  expect(await beat({ percent: 40, note: "page 2" })).toMatchObject([{ jobId, verdict: "CONTINUE" }]);
  await beat({ percent: 50, note: null });
  await beat(null);
  expect(await rowOf(db, jobId)).toMatchObject({ progress_percent: 50, progress_note: "page 2" });
  expect(await beat({ percent: 99, note: "stale" }, "stale")).toEqual([
    { jobId, verdict: "LOST", type: null, expiresAt: null },
  ]);
  expect(await rowOf(db, jobId)).toMatchObject({ progress_percent: 50 });
  await cancel(db.sql, [jobId], "", 60_000);
  expect(await beat(null)).toMatchObject([{ verdict: "CANCEL" }]);
  await expectNoDrift(db);
});

test("a cancelled job whose worker does not stop is ended by the reclaim after the grace, and its report told so", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  await cancel(db.sql, [jobId], "", 0);
  expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId, to: "CANCELLED", workerId: "w1" }]);
  expect(await reportAll(db, done(lease))).toEqual(["CANCELLED"]);
  expect(await resultsOf(db, jobId)).toEqual([]);
});

test("an expired job goes back at once, its attempt spent, and its old lease is worth nothing", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  await expire(db, jobId);
  expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId, to: "PENDING", attempt: 1 }]);
  expect(await heartbeat(db.reserved, [{ ...lease, progress: null }], 1_000)).toMatchObject([{ verdict: "LOST" }]);
  expect((await givenLease(db, "w2")).attempt).toBe(2);
});

test("a reclaim takes no more than its limit and leaves live leases alone", async ({ db }) => {
  for (let i = 0; i < 4; i++) await givenJob(db);
  await claimAs(db, "w1", { limit: 3, leaseMs: EXPIRED });
  await givenLease(db, "w2");
  expect(await reclaim(db.sql, 2)).toHaveLength(2);
  expect(await reclaim(db.sql, 2)).toHaveLength(1);
  expect(await reclaim(db.sql, 2)).toEqual([]);
});

test("two batches that name the same jobs in opposite order both end", async ({ db }) => {
  for (let i = 0; i < 40; i++) await givenJob(db);
  const leases = await claimAs(db, "w1", { limit: 40 });
  const reports = leases.map((l) => done(l));
  const answers = await Promise.all([
    report(db.reserved, reports, DEFAULT_BACKOFF),
    report(db.reserved, [...reports].reverse(), DEFAULT_BACKOFF),
  ]);
  const statuses = answers.flat().map((r) => r.status);
  expect(statuses.filter((s) => s === "ACCEPTED")).toHaveLength(40);
  expect(statuses.filter((s) => s === "DUPLICATE")).toHaveLength(40);
});

test("batches that name the same jobs in opposite orders do not deadlock, however many there are", async ({ db }) => {
  for (let i = 0; i < 200; i++) await givenJob(db);
  const leases = await claimAs(db, "w1", { limit: 200 });
  const beats = leases.map((lease) => ({ ...lease, progress: null }));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => heartbeat(db.sql, n % 2 ? beats : beats.toReversed(), 60_000)),
  );
  expect(new Set(answers.flat().map(({ verdict }) => verdict))).toEqual(new Set(["CONTINUE"]));
  await expectNoDrift(db);
});

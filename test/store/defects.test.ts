/** The nine defects of the original, each with the test that it stays mended (design: semantics.md). */
import { expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { claim } from "../../src/store/claim.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { createTokens } from "../../src/tokens.ts";
import { test } from "../support/db.ts";
import {
  claimAs,
  done,
  EXPIRED,
  expectNoDrift,
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

test("defect 1: a heartbeat extends the lease, so a job longer than its lease does not run twice", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db, "w1", { leaseMs: EXPIRED });
  const [renewal] = await heartbeat(db.reserved, [{ jobId, token: lease.token, progress: null }], 60_000);
  expect(renewal?.verdict).toBe("CONTINUE");
  expect(await reclaim(db.sql, 10)).toEqual([]);
  expect(await claimAs(db, "w2")).toEqual([]);
  expect((await rowOf(db, jobId))["lease_expires_at"]).toEqual(renewal?.expiresAt);
});

test("defect 2: a FAILED report that is tried again stores no result, so the retry's DONE finishes the job", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  expect(await reportAll(db, failed(await givenLease(db)))).toEqual(["RETRYING"]);
  expect(await resultsOf(db, jobId)).toEqual([]);
  await makeDue(db, jobId);
  expect(await reportAll(db, done(await givenLease(db)))).toEqual(["ACCEPTED"]);
  expect(await statusOf(db, jobId)).toBe("DONE");
  expect(await resultsOf(db, jobId)).toEqual(['{"text": "ok"}']);
  await expectNoDrift(db);
});

test("defect 3: a claim that meets an exhausted job goes on to the next", async ({ db }) => {
  const spent = await Promise.all([1, 2, 3].map(() => givenJob(db, { priority: -1 })));
  const good = await givenJob(db);
  await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id = ANY (${spent}::text[])`;
  const claimed = await claim(db.sql, {
    workerId: "w1",
    types: [],
    limit: 1,
    leaseMs: 60_000,
    maxBytes: 1_000_000,
    token: "t",
    requestId: null,
  });
  expect(claimed.leases.map((l) => l.jobId)).toEqual([good]);
  expect(claimed.ended.map((e) => e.jobId).sort()).toEqual(spent.sort());
  for (const id of spent) {
    expect(await rowOf(db, id)).toMatchObject({ status: "FAILED", last_error: "max_attempts_exceeded" });
  }
  await expectNoDrift(db);
});

test("defect 4: the reclaim itself fails an expired job that has no attempt left", async ({ db }) => {
  const jobId = await givenJob(db, { maxAttempts: 1 });
  await givenLease(db, "w1", { leaseMs: EXPIRED });
  expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId, to: "FAILED", workerId: "w1", attempt: 1 }]);
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "FAILED",
    error_message: "max_attempts_exceeded",
    last_error: "max_attempts_exceeded",
  });
  expect(await claimAs(db, "w2")).toEqual([]);
  await expectNoDrift(db);
});

test("defect 5: a stale worker cannot overwrite a newer attempt", async ({ db }) => {
  const jobId = await givenJob(db);
  const stale = await givenLease(db, "w1", { leaseMs: EXPIRED });
  await reclaim(db.sql, 10);
  const current = await givenLease(db, "w2");
  expect(await reportAll(db, done(stale, { result: '{"text": "stale"}' }))).toEqual(["LEASE_LOST"]);
  expect(await reportAll(db, failed(stale))).toEqual(["LEASE_LOST"]);
  expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", locked_by: "w2", attempt_count: 2 });
  expect(await reportAll(db, done(current))).toEqual(["ACCEPTED"]);
  expect(await resultsOf(db, jobId)).toEqual(['{"text": "ok"}']);
});

test("defect 6: reports that race for one job all get an answer, and one result row is left", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  const racing = await Promise.all([
    ...Array.from({ length: 8 }, () => reportAll(db, done(lease))),
    ...Array.from({ length: 8 }, () => legacyReport(db.reserved, legacyDone(jobId), DEFAULT_BACKOFF)),
  ]);
  const won = racing.filter((r) => (Array.isArray(r) ? r[0] === "ACCEPTED" : r.verdict === "done"));
  expect(won).toHaveLength(1);
  expect(await resultsOf(db, jobId)).toHaveLength(1);
  await expectNoDrift(db);
});

test("defect 7: a reclaim skips what another transaction holds and never waits", async ({ db }) => {
  const held = await givenJob(db);
  const free = await givenJob(db);
  await claimAs(db, "w1", { limit: 2, leaseMs: EXPIRED });
  await db.sql.begin(async (tx) => {
    await tx`SELECT FROM ai_job WHERE job_id = ${held} FOR UPDATE`;
    expect((await reclaim(db.sql, 10)).map((r) => r.jobId)).toEqual([free]);
    // Nor does a claim queue behind it.
    expect((await claimAs(db, "w2", { limit: 2 })).map((l) => l.jobId)).toEqual([free]);
  });
  expect((await reclaim(db.sql, 10)).map((r) => r.jobId)).toEqual([held]);
});

test("defect 8: tokens are compared as digests of one length, all of them, whatever was sent", () => {
  const tokens = createTokens(["first-token", "second-token"]);
  expect(
    ["first-token", "second-token", "first-toke", "first-token ", "", undefined].map((t) => tokens.matches(t)),
  ).toEqual([true, true, false, false, false, false]);
  // A comparison that stopped at the first difference would need equal lengths, or throw on unequal ones.
  expect(tokens.matches("x".repeat(100_000))).toBe(false);
});

test("defect 9: many jobs with one next_run_at are claimed in the order of their ids, without a sort of the backlog", async ({
  db,
}) => {
  await db.sql`
    INSERT INTO ai_job (job_id, job_type, payload, next_run_at, created_at, updated_at, status, error_message,
      attempt_count, max_attempts, last_error)
    SELECT 'same-' || g, 'ocr', '{}', '2026-01-01Z', now(), now(), 'PENDING', '', 0, 5, '' FROM generate_series(1, 5000) g`;
  const claimed = await claimAs(db, "w1", { limit: 500, types: ["ocr"] });
  expect(claimed.map((l) => l.jobId)).toEqual(Array.from({ length: 500 }, (_, i) => `same-${i + 1}`));
});

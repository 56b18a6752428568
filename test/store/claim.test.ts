import { expect } from "vitest";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { release } from "../../src/store/release.ts";
import { test } from "../support/db.ts";
import { claimAs, expectNoDrift, givenJob, givenLease, rowOf, statusOf } from "../support/jobs.ts";

test("claims in the order of priority, then run_at, then dispatch, over all types", async ({ db }) => {
  const past = (s: number) => new Date(Date.now() - s * 1_000);
  const a = await givenJob(db, { type: "ocr", runAt: past(10) });
  const b = await givenJob(db, { type: "embedding", runAt: past(20) });
  const c = await givenJob(db, { type: "ocr", priority: 5, runAt: past(99) });
  const d = await givenJob(db, { type: "zeta", priority: -1 });
  const e = await givenJob(db, { type: "ocr", runAt: past(10) });
  const claimed = await claimAs(db, "w1", { limit: 10 });
  expect(claimed.map((l) => l.jobId)).toEqual([d, b, a, e, c]);
  await expectNoDrift(db);
});

test("takes only the types that were asked for, and never one that is paused", async ({ db }) => {
  await givenJob(db, { type: "embedding" });
  const ocr = await givenJob(db, { type: "ocr" });
  await givenJob(db, { type: "held" });
  await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('held')`;
  expect((await claimAs(db, "w1", { types: ["ocr", "held", "ocr"], limit: 10 })).map((l) => l.jobId)).toEqual([ocr]);
  expect((await claimAs(db, "w1", { limit: 10 })).map((l) => l.type)).toEqual(["embedding"]);
});

test("leaves alone what is not due yet", async ({ db }) => {
  await givenJob(db, { runAt: new Date(Date.now() + 3_600_000) });
  expect(await claimAs(db, "w1", { limit: 10 })).toEqual([]);
});

test("a lease carries the whole job and a token of its own", async ({ db }) => {
  const jobId = await givenJob(db, {
    payload: '{"academy_id": 12, "big": 9007199254740993, "x": 1.50}',
    tenantId: "t1",
    sourceDomain: "submissions",
    sourceId: "77",
    priority: -3,
    maxAttempts: 2,
    traceparent: "00-abc-def-01",
  });
  await givenJob(db);
  const [lease, other] = await claimAs(db, "w1", { limit: 2, leaseMs: 30_000 });
  expect(lease).toMatchObject({ jobId, type: "ocr", tenantId: "t1", sourceDomain: "submissions", sourceId: "77" });
  expect(lease).toMatchObject({ priority: -3, maxAttempts: 2, attempt: 1, leaseMs: 30_000, workerId: "w1" });
  expect(lease?.payload).toBe('{"x": 1.50, "big": 9007199254740993, "academy_id": 12}');
  expect(lease?.token).not.toBe(other?.token);
  const row = await rowOf(db, jobId);
  expect(row).toMatchObject({ status: "RUNNING", locked_by: "w1", attempt_count: 1, deliveries: 1 });
  expect((row["lease_expires_at"] as Date).getTime() - (row["locked_at"] as Date).getTime()).toBe(30_000);
  expect(row["last_heartbeat_at"]).toEqual(row["locked_at"]);
});

test("an answer holds at most maxBytes of payload, but always a first job", async ({ db }) => {
  const big = JSON.stringify({ text: "x".repeat(1_000) });
  for (let i = 0; i < 5; i++) await givenJob(db, { payload: big });
  expect(await claimAs(db, "w1", { limit: 5, maxBytes: 6_500 })).toHaveLength(2);
  expect(await claimAs(db, "w1", { limit: 5, maxBytes: 10 })).toHaveLength(1);
  expect(await claimAs(db, "w1", { limit: 5, maxBytes: 1_000_000 })).toHaveLength(2);
  await expectNoDrift(db);
});

test("claimers that run at once share the queue: each job once, none left, none twice", async ({ db }) => {
  const ids: string[] = [];
  for (let i = 0; i < 120; i++) ids.push(await givenJob(db, { type: `t${i % 4}`, priority: i % 3 }));
  const taken: string[] = [];
  await Promise.all(
    Array.from({ length: 8 }, async (_, w) => {
      for (;;) {
        const leases = await claimAs(db, `w${w}`, { limit: 1 + (w % 5) });
        if (leases.length === 0) return;
        expect(leases.length).toBeLessThanOrEqual(1 + (w % 5));
        taken.push(...leases.map((l) => l.jobId));
      }
    }),
  );
  expect(taken.sort()).toEqual(ids.sort());
  await expectNoDrift(db);
});

test("a job that was to be cancelled ends at the claim instead of running again", async ({ db }) => {
  const jobId = await givenJob(db);
  await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = ${jobId}`;
  expect(await claimAs(db, "w1")).toEqual([]);
  expect(await statusOf(db, jobId)).toBe("CANCELLED");
  await expectNoDrift(db);
});

test("a max_attempts of 0, which Django may leave, counts as 5", async ({ db }) => {
  const jobId = await givenJob(db);
  await db.sql`UPDATE ai_job SET max_attempts = 0, attempt_count = 4 WHERE job_id = ${jobId}`;
  expect((await givenLease(db)).attempt).toBe(5);
  expect(await rowOf(db, jobId)).toMatchObject({ max_attempts: 5 });
});

test("a row that plain SQL inserted with the fewest columns is claimed", async ({ db }) => {
  await db.sql`INSERT INTO ai_job (job_id, job_type) VALUES ('by-hand', 'ocr')`;
  expect(await givenLease(db)).toMatchObject({ jobId: "by-hand", payload: "{}", maxAttempts: 5, attempt: 1 });
});

test("a released job comes back at its old place and costs no attempt, until it came back too often", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  await givenJob(db);
  for (let turn = 1; turn <= 20; turn++) {
    const lease = await givenLease(db);
    expect(lease).toMatchObject({ jobId, attempt: 1 });
    expect(await rowOf(db, jobId)).toMatchObject({ deliveries: turn });
    expect(await release(db.reserved, [lease], 20)).toMatchObject([{ jobId, released: true }]);
  }
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "FAILED",
    attempt_count: 0,
    deliveries: 20,
    last_error: "max_deliveries_exceeded",
  });
  await expectNoDrift(db);
});

test("a release of unseen leases leaves alone those that had a heartbeat", async ({ db }) => {
  const [seen, unseen] = [await givenJob(db), await givenJob(db)];
  const leases = await claimAs(db, "w1", { limit: 2 });
  await heartbeat(db.reserved, [{ ...(leases[0] as (typeof leases)[0]), progress: null }], 60_000);
  expect(await release(db.reserved, leases, 20, true)).toMatchObject([
    { jobId: seen, released: false, to: null },
    { jobId: unseen, released: true, to: "PENDING" },
  ]);
  expect(await release(db.reserved, leases, 20)).toMatchObject([{ released: true }, { released: false }]);
  await expectNoDrift(db);
});

test("only the current token releases", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  expect(await release(db.reserved, [{ jobId, token: "stale" }], 20)).toMatchObject([{ released: false }]);
  expect(await statusOf(db, jobId)).toBe("RUNNING");
  expect(await release(db.reserved, [lease], 20)).toMatchObject([{ released: true }]);
  expect(await release(db.reserved, [lease], 20)).toMatchObject([{ released: false }]);
});

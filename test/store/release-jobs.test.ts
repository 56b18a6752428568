/** Jobs that an operator takes from whoever has them. overtaken.test.ts has what happens meanwhile. */
import { expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { releaseJobs, type Taking } from "../../src/store/release.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  done,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  legacyDone,
  legacyFailed,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";
import { told } from "../support/told.ts";

const TAKING: Taking = { reason: "its GPU is gone", delayMs: 0, maxDeliveries: 20 };

const take = (db: Database, jobIds: string[], more: Partial<Taking> = {}) =>
  releaseJobs(db.sql, jobIds, { ...TAKING, ...more });

test("a running job is pending again at once, its attempt is not spent, and it keeps its place", async ({ db }) => {
  const jobId = await givenJob(db);
  const behind = await givenJob(db);
  const lease = await givenLease(db, "w1");
  const before = await rowOf(db, jobId);
  expect(await take(db, [jobId])).toMatchObject([
    { jobId, outcome: "RELEASED", status: "PENDING", to: "PENDING", workerId: "w1", token: lease.token, attempt: 1 },
  ]);
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "PENDING",
    attempt_count: 0,
    returns: 1,
    deliveries: 1,
    next_run_at: before["next_run_at"],
    locked_by: null,
    lease_token: null,
    lease_expires_at: null,
  });
  await expectNoDrift(db);
  expect((await claimAs(db, "w2", { limit: 2 })).map((one) => one.jobId)).toEqual([jobId, behind]);
});

test("nothing that its worker still says counts", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenLease(db);
  await take(db, [jobId]);
  expect(await reportAll(db, done(lease), failed(lease))).toEqual(["LEASE_LOST", "LEASE_LOST"]);
  expect(await heartbeat(db.reserved, [{ ...lease, progress: null }], 60_000)).toMatchObject([{ verdict: "LOST" }]);
  const next = await givenLease(db, "w2");
  expect(await reportAll(db, done(lease), done(next))).toEqual(["LEASE_LOST", "ACCEPTED"]);
});

test("the release is told with its reason and whose attempt it ended, in the same transaction", async ({ db }) => {
  const jobId = await givenJob(db);
  await givenLease(db, "w1");
  await db.sql
    .begin(async (tx) => {
      await releaseJobs(tx as unknown as Database["sql"], [jobId], TAKING);
      throw new Error("undone");
    })
    .catch(() => undefined);
  expect((await told(db)).map(({ kind }) => kind)).toEqual(["dispatched", "started"]);
  expect(await statusOf(db, jobId)).toBe("RUNNING");
  await take(db, [jobId, jobId]);
  expect((await told(db)).slice(2)).toMatchObject([
    { jobId, seq: 3, kind: "released", workerId: "w1", attempt: 0, error: "its GPU is gone" },
  ]);
  await givenLease(db, "w2");
  await take(db, [jobId], { reason: "" });
  expect((await told(db)).at(-1)).toMatchObject({ kind: "released", workerId: "w2", error: null });
});

test("with a delay it is due only then", async ({ db }) => {
  const jobId = await givenJob(db);
  await givenLease(db);
  await take(db, [jobId], { delayMs: 3_600_000 });
  await expectNoDrift(db);
  expect(await claimAs(db, "w2")).toEqual([]);
  const [row] = await db.sql`SELECT extract(epoch FROM next_run_at - updated_at)::int AS seconds FROM ai_job`;
  expect(row?.["seconds"]).toBe(3_600);
});

test("each id is answered in its place; what does not run stays as it is", async ({ db }) => {
  const running = await givenJob(db);
  await givenLease(db);
  const pending = await givenJob(db);
  const ended = await givenJob(db, { priority: -1 });
  await reportAll(db, done(await givenLease(db, "w2")));
  const before = [await rowOf(db, pending), await rowOf(db, ended)];
  const answers = await take(db, [pending, "none", running, ended, running]);
  expect(answers.map(({ jobId, outcome, status }) => [jobId, outcome, status])).toEqual([
    [pending, "UNCHANGED", "PENDING"],
    ["none", "NOT_FOUND", null],
    [running, "RELEASED", "PENDING"],
    [ended, "UNCHANGED", "DONE"],
    [running, "RELEASED", "PENDING"],
  ]);
  expect([await rowOf(db, pending), await rowOf(db, ended)]).toEqual(before);
  expect(await rowOf(db, running)).toMatchObject({ attempt_count: 0, returns: 1 });
  await expectNoDrift(db);
});

test("a job that was to be cancelled is CANCELLED, one that came back too often is FAILED", async ({ db }) => {
  const first = await givenJob(db);
  const lease = await givenLease(db);
  await cancel(db.sql, [first], "enough", 60_000);
  expect(await take(db, [first])).toMatchObject([{ outcome: "RELEASED", status: "CANCELLED" }]);
  expect(await reportAll(db, done(lease))).toEqual(["CANCELLED"]);
  const second = await givenJob(db);
  await givenLease(db);
  expect(await take(db, [second], { maxDeliveries: 1, delayMs: 60_000 })).toMatchObject([{ status: "FAILED" }]);
  expect(await rowOf(db, second)).toMatchObject({
    last_error: "max_deliveries_exceeded",
    finished_at: expect.any(Date),
  });
  await expectNoDrift(db);
});

test("a legacy worker is taken its job, too: its FAILED is too late, its DONE counts as ever", async ({ db }) => {
  const jobId = await givenJob(db);
  await givenLease(db, "old");
  await take(db, [jobId]);
  const report = (item: ReturnType<typeof legacyDone>) => legacyReport(db.reserved, item, DEFAULT_BACKOFF);
  expect((await report(legacyFailed(jobId, "old"))).verdict).toBe("duplicate_ignored");
  expect(await statusOf(db, jobId)).toBe("PENDING");
  expect((await report(legacyDone(jobId, "old"))).verdict).toBe("done");
  expect(await statusOf(db, jobId)).toBe("DONE");
  await expectNoDrift(db);
});

test("so is the Django app, whose lease has no token", async ({ db }) => {
  await django.dispatch(db.sql, "d1");
  await django.claim(db.sql, "django-worker");
  expect(await take(db, ["d1"])).toMatchObject([{ outcome: "RELEASED", workerId: "django-worker", token: null }]);
  expect(await rowOf(db, "d1")).toMatchObject({ status: "PENDING", attempt_count: 0, locked_by: null });
  await expectNoDrift(db);
});

test("jobs are claimed, taken and reported by many at once, and each is done once", async ({ db }) => {
  const ids = await Promise.all(Array.from({ length: 60 }, () => givenJob(db)));
  let results = 0;
  let over = false;
  const worker = async (workerId: string) => {
    while (results < ids.length) {
      const leases = await claimAs(db, workerId, { limit: 5 });
      const statuses = await reportAll(db, ...leases.map((lease) => done(lease)));
      results += statuses.filter((status) => status === "ACCEPTED").length;
    }
    over = true;
  };
  const operator = async () => {
    while (!over) await take(db, ids, { maxDeliveries: 1_000_000 });
  };
  await Promise.all([worker("w1"), worker("w2"), operator(), operator()]);
  expect(results).toBe(ids.length);
  const rows = await db.sql`SELECT status, count(*)::int AS count FROM ai_job GROUP BY status`;
  expect(rows).toEqual([{ status: "DONE", count: ids.length }]);
  expect(await db.sql`SELECT FROM ai_result`).toHaveLength(ids.length);
  await expectNoDrift(db);
});

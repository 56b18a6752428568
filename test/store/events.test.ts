/** The outbox: what each move writes beside the job. lifecycle.test.ts has the kinds, events-read.test.ts the reading. */
import { expect } from "vitest";
import { EVENT_KINDS, type EventKind } from "../../src/job/events.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import type { JobEvent } from "../../src/store/events.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { release } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  done,
  EXPIRED,
  failed,
  givenJob,
  givenLease,
  legacyDone,
  newJob,
  reportAll,
} from "../support/jobs.ts";
import { told } from "../support/told.ts";

const brief = (events: JobEvent[]) => events.map(({ seq, kind, attempt, workerId }) => [seq, kind, attempt, workerId]);

test("a life is told in order, with who worked and what went wrong", async ({ db }) => {
  const facts = { tenantId: "t", sourceDomain: "exams", sourceId: "7" };
  const jobId = await givenJob(db, facts);
  const first = await givenLease(db, "w1");
  await reportAll(db, failed(first, { error: "x".repeat(5_000), retryDelayMs: 0 }));
  await release(db.reserved, [await givenLease(db, "w2")], 20);
  await givenLease(db, "w3", { leaseMs: EXPIRED });
  await reclaim(db.sql, 10);
  await reportAll(db, done(await givenLease(db, "w4")));
  const events = await told(db);
  expect(brief(events)).toEqual([
    [1, "dispatched", 0, null],
    [2, "started", 1, "w1"],
    [3, "retrying", 1, "w1"],
    [4, "started", 2, "w2"],
    [5, "released", 1, "w2"],
    [6, "started", 2, "w3"],
    [7, "reclaimed", 2, "w3"],
    [8, "started", 3, "w4"],
    [9, "done", 3, "w4"],
  ]);
  for (const event of events) expect(event).toMatchObject({ jobId, type: "ocr", ...facts, at: expect.any(Date) });
  expect(events.map(({ error }) => error)).toEqual(
    events.map(({ kind }) => (kind === "retrying" ? "x".repeat(1_000) : null)),
  );
});

test("how a job failed stands in its event: by its report, for want of attempts, or of deliveries", async ({ db }) => {
  await givenJob(db);
  await reportAll(db, failed(await givenLease(db), { retryable: false }));
  await givenJob(db, { maxAttempts: 1 });
  await givenLease(db, "w1", { leaseMs: EXPIRED });
  await reclaim(db.sql, 10);
  await givenJob(db);
  await release(db.reserved, [await givenLease(db)], 1);
  const spent = await givenJob(db);
  await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id = ${spent}`;
  await claimAs(db, "w1");
  const failures = (await told(db)).filter(({ kind }) => kind === "failed");
  expect(failures.map(({ error, workerId }) => [error, workerId])).toEqual([
    ["it broke", "w1"],
    ["max_attempts_exceeded", "w1"],
    ["max_deliveries_exceeded", "w1"],
    ["max_attempts_exceeded", null],
  ]);
});

test("cancels: at once when it waits, with the report when it runs; a request alone is no event", async ({ db }) => {
  const waiting = await givenJob(db, { priority: 5 });
  const running = await givenJob(db);
  const lease = await givenLease(db);
  const before = (await told(db)).length;
  await cancel(db.sql, [waiting, running, waiting], "", 60_000);
  await cancel(db.sql, [waiting, running], "", 60_000);
  await reportAll(db, done(lease));
  const later = (await told(db)).slice(before);
  expect(later.map(({ jobId, kind, workerId }) => [jobId, kind, workerId])).toEqual([
    [waiting, "cancelled", null],
    [running, "cancelled", "w1"],
  ]);
});

test("what is said twice, in one call or two, is told once", async ({ db }) => {
  const [job] = [newJob({ idempotencyKey: "k" })];
  await dispatch(db.sql, [job as ReturnType<typeof newJob>, job as ReturnType<typeof newJob>]);
  await dispatch(db.sql, [job as ReturnType<typeof newJob>]);
  const first = await givenLease(db);
  await release(db.reserved, [first, first], 20);
  const lease = await givenLease(db);
  expect(await reportAll(db, done(lease), done(lease))).toEqual(["ACCEPTED", "DUPLICATE"]);
  await reportAll(db, done(lease));
  await givenJob(db, { id: "again" });
  await reportAll(db, failed(await givenLease(db), { retryable: false }));
  await retry(db.sql, ["again", "again"]);
  await retry(db.sql, ["again"]);
  expect((await told(db)).map(({ kind }) => kind)).toEqual([
    ...["dispatched", "started", "released", "started", "done"],
    ...["dispatched", "started", "failed", "retried"],
  ]);
});

test("a move that is undone tells nothing", async ({ db }) => {
  await db.sql
    .begin(async (tx) => {
      await dispatch(tx as unknown as Database["sql"], [newJob()]);
      throw new Error("undone");
    })
    .catch(() => undefined);
  expect(await told(db)).toEqual([]);
});

test("the old worker's result is told as its own", async ({ db }) => {
  const jobId = await givenJob(db);
  await givenLease(db, "holder");
  await legacyReport(db.reserved, legacyDone(jobId, "other"), DEFAULT_BACKOFF);
  expect((await told(db)).at(-1)).toMatchObject({ kind: "done", seq: 3, workerId: "other" });
});

test("jobs that Django ends are told by the triggers, and numbered among ours", async ({ db }) => {
  await django.dispatch(db.sql, "d1");
  await django.claim(db.sql, "old-worker");
  await django.done(db.sql, "d1");
  const ours = await givenJob(db);
  await givenLease(db);
  await db.sql`UPDATE ai_job SET status = 'FAILED', error_message = 'by hand' WHERE job_id = ${ours}`;
  // What changes nothing of the state is no event.
  await db.sql`UPDATE ai_job SET error_message = 'edited' WHERE job_id = ${ours}`;
  await retry(db.sql, [ours]);
  expect((await told(db)).map(({ jobId, seq, kind, workerId, error }) => [jobId, seq, kind, workerId, error])).toEqual([
    ["d1", 2, "done", "old-worker", null],
    [ours, 1, "dispatched", null, null],
    [ours, 2, "started", "w1", null],
    [ours, 3, "failed", "w1", "by hand"],
    [ours, 4, "retried", null, null],
  ]);
});

test.for<[string, EventKind[]]>([
  ["none", []],
  ["some", ["retrying", "released"]],
  ["all", [...EVENT_KINDS]],
])("of kinds that are not kept no row is written, but always of an end: %s kept", async ([, kinds], { db }) => {
  const kept = new Set(kinds);
  const jobId = "kept";
  await dispatch(db.sql, [newJob({ id: jobId })], kept);
  await release(db.reserved, await claimAs(db, "w1", { kept }), 20, false, kept);
  const [second] = await claimAs(db, "w1", { kept });
  await report(db.reserved, [failed(second as never, { retryDelayMs: 0 })], DEFAULT_BACKOFF, kept);
  await claimAs(db, "w1", { kept, leaseMs: EXPIRED });
  await reclaim(db.sql, 10, kept);
  const [third] = await claimAs(db, "w1", { kept });
  await report(db.reserved, [failed(third as never, { retryable: false })], DEFAULT_BACKOFF, kept);
  await retry(db.sql, [jobId], kept);
  await cancel(db.sql, [jobId], "", 0, kept);
  const whole: [number, EventKind][] = [
    [1, "dispatched"],
    [2, "started"],
    [3, "released"],
    [4, "started"],
    [5, "retrying"],
    [6, "started"],
    [7, "reclaimed"],
    [8, "started"],
    [9, "failed"],
    [10, "retried"],
    [11, "cancelled"],
  ];
  const expected = whole.filter(([, kind]) => kept.has(kind) || kind === "failed" || kind === "cancelled");
  expect((await told(db)).map(({ seq, kind }) => [seq, kind])).toEqual(expected);
});

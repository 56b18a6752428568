import { expect } from "vitest";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { retry } from "../../src/store/retry.ts";
import type { NewJob } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import {
  done,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  newJob,
  reportAll,
  resultsOf,
  rowOf,
} from "../support/jobs.ts";

const send = (db: Database, ...jobs: NewJob[]) => dispatch(db.sql, jobs);

async function countJobs(db: Database): Promise<number> {
  const [row] = await db.sql<{ n: number }[]>`SELECT count(*)::int AS n FROM ai_job`;
  return row?.n ?? -1;
}

test("a batch is stored in its order, durable and due", async ({ db }) => {
  const jobs = Array.from({ length: 1_000 }, (_, i) => newJob({ payload: `{"n": ${i}}`, priority: i % 3 }));
  expect(await send(db, ...jobs)).toEqual(jobs.map((j) => ({ jobId: j.id, created: true })));
  const rows = await db.sql<{ job_id: string }[]>`SELECT job_id FROM ai_job ORDER BY id`;
  expect(rows.map((r) => r.job_id)).toEqual(jobs.map((j) => j.id));
  await expectNoDrift(db);
});

test("a row is as Django would have written it, and the broker's columns beside", async ({ db }) => {
  const runAt = new Date("2031-05-06T07:08:09.123Z");
  const jobId = await givenJob(db, { tenantId: "t", sourceDomain: "d", sourceId: "s", runAt, traceparent: "00-1" });
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "PENDING",
    error_message: "",
    last_error: "",
    tenant_id: "t",
    source_domain: "d",
    source_id: "s",
    attempt_count: 0,
    max_attempts: 5,
    locked_by: null,
    next_run_at: runAt,
    traceparent: "00-1",
    deliveries: 0,
  });
});

test("the same key and body answers with the first job, whatever id came with it", async ({ db }) => {
  const first = await send(db, newJob({ id: "one", idempotencyKey: "k", payload: '{"a":1,"b":[1.0]}' }));
  expect(first).toEqual([{ jobId: "one", created: true }]);
  // The same jsonb in another text, another run_at and another trace: not the body.
  const again = newJob({
    id: "two",
    idempotencyKey: "k",
    payload: ' {"b":[1], "a":1}',
    runAt: new Date(),
    traceparent: "x",
  });
  expect(await send(db, again)).toEqual([{ jobId: "one", created: false }]);
  expect(await countJobs(db)).toBe(1);
});

test("a key belongs to its tenant", async ({ db }) => {
  await send(db, newJob({ idempotencyKey: "k" }), newJob({ idempotencyKey: "k", tenantId: "a" }));
  expect(await send(db, newJob({ idempotencyKey: "k", tenantId: "b", payload: "{}" }))).toMatchObject([
    { created: true },
  ]);
  expect(await countJobs(db)).toBe(3);
});

test.for([
  ["type", { type: "embedding" }],
  ["payload", { payload: '{"a": 2}' }],
  ["tenant_id", { tenantId: "other" }],
  ["source_domain", { sourceDomain: "other" }],
  ["source_id", { sourceId: "other" }],
  ["priority", { priority: 1 }],
  ["max_attempts", { maxAttempts: 9 }],
] as const)("a known id with another %s refuses the whole batch and names the item", async ([, change], { db }) => {
  await send(db, newJob({ id: "one" }));
  await expect(send(db, newJob(), newJob({ id: "one", ...change }), newJob())).rejects.toMatchObject({
    reason: "IDEMPOTENCY_KEY_REUSED",
    field: "jobs[1].id",
  });
  expect(await countJobs(db)).toBe(1);
  await expectNoDrift(db);
});

test("a known key with another body is refused by the key's name", async ({ db }) => {
  await send(db, newJob({ idempotencyKey: "k" }));
  await expect(send(db, newJob({ idempotencyKey: "k", payload: "{}" }))).rejects.toMatchObject({
    field: "jobs[0].idempotency_key",
    message: expect.stringContaining('"k"'),
  });
});

test("an id and a key that belong to two different jobs are refused", async ({ db }) => {
  await send(db, newJob({ id: "one" }), newJob({ id: "two", idempotencyKey: "k" }));
  await expect(send(db, newJob({ id: "one", idempotencyKey: "k" }))).rejects.toMatchObject({
    reason: "IDEMPOTENCY_KEY_REUSED",
  });
  const inOneBatch = [
    newJob({ id: "three" }),
    newJob({ id: "four", idempotencyKey: "l" }),
    newJob({ id: "three", idempotencyKey: "l" }),
  ];
  await expect(send(db, ...inOneBatch)).rejects.toMatchObject({ field: "jobs[2].idempotency_key" });
  expect(await countJobs(db)).toBe(2);
});

test("a batch may hold a job twice; a twin with another body refuses it", async ({ db }) => {
  const twins = [
    newJob({ id: "x" }),
    newJob({ id: "y", idempotencyKey: "k" }),
    newJob({ id: "x" }),
    newJob({ idempotencyKey: "k" }),
  ];
  expect(await send(db, ...twins)).toEqual([
    { jobId: "x", created: true },
    { jobId: "y", created: true },
    { jobId: "x", created: false },
    { jobId: "y", created: false },
  ]);
  await expect(
    send(db, newJob({ id: "z" }), newJob({ id: "z", payload: '{"a": 9007199254740993}' })),
  ).rejects.toMatchObject({
    reason: "IDEMPOTENCY_KEY_REUSED",
    field: "jobs[1].id",
  });
  await expect(
    send(
      db,
      newJob({ id: "q", payload: '{"a": 9007199254740992}' }),
      newJob({ id: "q", payload: '{"a": 9007199254740993}' }),
    ),
  ).rejects.toMatchObject({ field: "jobs[1].id" });
  expect(await countJobs(db)).toBe(2);
});

test("dispatches of one key that race store one job, and all get its id", async ({ db }) => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => send(db, newJob({ idempotencyKey: "race" }), newJob())),
  );
  expect(new Set(answers.map(([keyed]) => keyed?.jobId)).size).toBe(1);
  expect(answers.filter(([keyed]) => keyed?.created)).toHaveLength(1);
  expect(answers.every(([, plain]) => plain?.created)).toBe(true);
  expect(await countJobs(db)).toBe(13);
  await expectNoDrift(db);
});

test("races with other bodies store one and refuse the others whole", async ({ db }) => {
  const racing = await Promise.allSettled(
    Array.from({ length: 8 }, (_, i) => send(db, newJob(), newJob({ idempotencyKey: "race", payload: `{"n": ${i}}` }))),
  );
  expect(racing.filter((r) => r.status === "fulfilled")).toHaveLength(1);
  for (const r of racing)
    if (r.status === "rejected") expect(r.reason).toMatchObject({ reason: "IDEMPOTENCY_KEY_REUSED" });
  expect(await countJobs(db)).toBe(2);
});

test("a retry that names a job twice archives its result once and makes it due once", async ({ db }) => {
  const jobId = await givenJob(db);
  await reportAll(db, failed(await givenLease(db), { retryable: false, result: "{}" }));
  expect((await retry(db.sql, [jobId, "none", jobId])).map((r) => r.outcome)).toEqual([
    "RETRIED",
    "NOT_FOUND",
    "RETRIED",
  ]);
  expect(await db.sql`SELECT job_id FROM ai_result_archive`).toEqual([{ job_id: jobId }]);
  await expectNoDrift(db);
});

test("a retry by hand gives a fresh budget and keeps the old result in the archive", async ({ db }) => {
  const jobId = await givenJob(db, { maxAttempts: 2 });
  const lease = await givenLease(db);
  await reportAll(db, failed(lease, { retryable: false, error: "blurred", result: '{"page": 1}' }));
  expect(await retry(db.sql, [jobId, "nope"])).toMatchObject([
    { jobId, outcome: "RETRIED", status: "PENDING" },
    { jobId: "nope", outcome: "NOT_FOUND", status: null },
  ]);
  expect(await rowOf(db, jobId)).toMatchObject({
    status: "PENDING",
    attempt_count: 0,
    error_message: "",
    last_error: "blurred",
  });
  expect(await resultsOf(db, jobId)).toEqual([]);
  const archived =
    await db.sql`SELECT job_id, status, attempt_count, error_message, payload::text FROM ai_result_archive`;
  expect([...archived]).toEqual([
    { job_id: jobId, status: "FAILED", attempt_count: 1, error_message: "blurred", payload: '{"page": 1}' },
  ]);
  expect(await reportAll(db, done(await givenLease(db)))).toEqual(["ACCEPTED"]);
  expect(await retry(db.sql, [jobId])).toMatchObject([{ outcome: "NOT_RETRYABLE", status: "DONE" }]);
  expect(await resultsOf(db, jobId)).toEqual(['{"text": "ok"}']);
  await expectNoDrift(db);
});

test("a cancel answers for each id by what it met, and again the same", async ({ db }) => {
  const ended = await givenJob(db);
  await reportAll(db, done(await givenLease(db)));
  const running = await givenJob(db);
  await givenLease(db);
  const pending = await givenJob(db);
  const ids = [pending, running, ended, "nope", pending];
  expect((await cancel(db.sql, ids, "why", 60_000)).map((c) => [c.outcome, c.status])).toEqual([
    ["CANCELLED", "CANCELLED"],
    ["REQUESTED", "RUNNING"],
    ["UNCHANGED", "DONE"],
    ["NOT_FOUND", null],
    ["CANCELLED", "CANCELLED"],
  ]);
  const first = await rowOf(db, running);
  expect((await cancel(db.sql, [running, pending], "again", 60_000)).map((c) => c.outcome)).toEqual([
    "REQUESTED",
    "UNCHANGED",
  ]);
  expect(await rowOf(db, running)).toMatchObject({
    cancel_reason: "why",
    cancel_requested_at: first["cancel_requested_at"],
  });
  await expectNoDrift(db);
});

/** Each move says of which stream's lease it was, so that the broker that holds the stream can be told. */
import { describe, expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { release, releaseJobs } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import type { Lease } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  done,
  expectNoDrift,
  expire,
  failed,
  givenJob,
  givenLease,
  givenSeatLease,
  legacyDone,
  legacyFailed,
  rowOf,
} from "../support/jobs.ts";

const EDGE = { instanceId: null };

interface Answer {
  instanceId: string | null;
  token?: string | null;
}

type Move = (db: Database, lease: Lease) => Promise<Answer[]>;

const legacy = async (db: Database, item: ReturnType<typeof legacyDone>) => [
  await legacyReport(db.reserved, item, DEFAULT_BACKOFF),
];

/** Each move on a held lease; whether its answer carries the token; whether the job keeps the instance. */
const MOVES: [string, Move, { token: boolean; keeps: boolean }][] = [
  ["report DONE", (db, l) => report(db.sql, [done(l)], DEFAULT_BACKOFF), { token: false, keeps: true }],
  [
    "report FAILED, to be tried again",
    (db, l) => report(db.sql, [failed(l)], DEFAULT_BACKOFF),
    { token: false, keeps: false },
  ],
  [
    "report FAILED for good",
    (db, l) => report(db.sql, [failed(l, { retryable: false })], DEFAULT_BACKOFF),
    { token: false, keeps: false },
  ],
  ["release", (db, l) => release(db.sql, [l], 20), { token: false, keeps: false }],
  [
    "release by an operator",
    (db, l) => releaseJobs(db.sql, [l.jobId], { reason: "", delayMs: 0, maxDeliveries: 20 }),
    { token: true, keeps: false },
  ],
  [
    "reclaim",
    async (db, l) => {
      await expire(db, l.jobId);
      return reclaim(db.sql, 10);
    },
    { token: true, keeps: false },
  ],
  ["cancel", (db, l) => cancel(db.sql, [l.jobId], "", 60_000), { token: true, keeps: true }],
  ["legacy DONE", (db, l) => legacy(db, legacyDone(l.jobId)), { token: true, keeps: true }],
  ["legacy FAILED", (db, l) => legacy(db, legacyFailed(l.jobId, l.workerId)), { token: true, keeps: false }],
];

describe.each(MOVES)("%s", (_, move, { token, keeps }) => {
  test("names the stream's instance, and the job keeps it only where it keeps its worker", async ({ db }) => {
    const jobId = await givenJob(db);
    const lease = await givenSeatLease(db, "i1");
    const [answer] = await move(db, lease);
    expect(answer).toMatchObject({ instanceId: "i1", ...(token ? { token: lease.token } : {}) });
    const row = await rowOf(db, jobId);
    expect(row["instance_id"]).toBe(keeps ? "i1" : null);
    expect(row["locked_by"]).toBe(keeps ? lease.workerId : null);
    await expectNoDrift(db);
  });

  test("names none for a lease that was got by a call", async ({ db }) => {
    await givenJob(db);
    const lease = await givenLease(db);
    const [answer] = await move(db, lease);
    expect(answer).toMatchObject({ ...EDGE, ...(token ? { token: lease.token } : {}) });
  });
});

test("a report names the instance only where it settled something", async ({ db }) => {
  await givenJob(db);
  const lease = await givenSeatLease(db, "i1");
  const stale = { ...lease, token: "stale" };
  const answers = await report(db.sql, [done(stale), done(lease), done(lease)], DEFAULT_BACKOFF);
  expect(answers.map((r) => [r.status, r.instanceId])).toEqual([
    ["LEASE_LOST", null],
    ["ACCEPTED", "i1"],
    ["DUPLICATE", null],
  ]);
});

test("a release of a lease that is not held names none", async ({ db }) => {
  await givenJob(db);
  const lease = await givenSeatLease(db, "i1");
  expect(await release(db.sql, [{ ...lease, token: "stale" }], 20)).toMatchObject([{ released: false, ...EDGE }]);
});

test("a move on a job that waits or has ended names none, whatever it ran through before", async ({ db }) => {
  const jobId = await givenJob(db);
  const lease = await givenSeatLease(db, "i1");
  await release(db.sql, [lease], 20);
  expect(await cancel(db.sql, [jobId], "", 0)).toMatchObject([{ outcome: "CANCELLED", token: null, ...EDGE }]);
  expect(await cancel(db.sql, [jobId, "none"], "", 0)).toMatchObject([
    { outcome: "UNCHANGED", token: null, ...EDGE },
    { outcome: "NOT_FOUND", token: null, ...EDGE },
  ]);
  expect(await retry(db.sql, [jobId])).toMatchObject([{ outcome: "RETRIED", ...EDGE }]);
  expect(await legacyReport(db.sql, legacyDone(jobId), DEFAULT_BACKOFF)).toMatchObject({ token: null, ...EDGE });
  expect(await legacyReport(db.sql, legacyDone(jobId), DEFAULT_BACKOFF)).toMatchObject({
    verdict: "duplicate_ignored",
    token: null,
    ...EDGE,
  });
  expect(await legacyReport(db.sql, legacyDone("none"), DEFAULT_BACKOFF)).toMatchObject({ token: null, ...EDGE });
});

test("a job that Django has taken over is no stream's any more", async ({ db }) => {
  const jobId = await givenJob(db);
  await givenSeatLease(db, "i1");
  await db.sql`UPDATE ai_job SET status = 'PENDING', locked_by = NULL WHERE job_id = ${jobId}`;
  expect(await django.claim(db.sql, "django")).toBe(jobId);
  await expectNoDrift(db);
  expect(await cancel(db.sql, [jobId], "", 0)).toMatchObject([{ outcome: "REQUESTED", token: null, ...EDGE }]);
  expect(await reclaim(db.sql, 10)).toMatchObject([{ workerId: "django", token: null, ...EDGE }]);
});

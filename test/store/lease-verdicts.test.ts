import { expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import { leaseVerdicts } from "../../src/store/lease-verdicts.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { release } from "../../src/store/release.ts";
import type { Lease, LeaseVerdict } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import {
  claimAs,
  done,
  EXPIRED,
  failed,
  givenJob,
  givenLease,
  givenSeatLease,
  legacyDone,
  makeDue,
  reportAll,
  rowOf,
} from "../support/jobs.ts";

test("each lease is answered as it stands, in order, and nothing changes", async ({ db }) => {
  const expected: LeaseVerdict[] = ["HELD", "CANCEL", "SETTLED", "SETTLED", "SETTLED", "LOST", "LOST", "HELD"];
  for (let n = 0; n < expected.length - 1; n++) await givenJob(db);
  const leases = await claimAs(db, "w1", { limit: expected.length - 1 });
  const [, toCancel, ended, retried, cancelled, released, byLegacy] = leases as [
    Lease,
    Lease,
    Lease,
    Lease,
    Lease,
    Lease,
    Lease,
  ];
  await givenJob(db);
  leases.push(await givenSeatLease(db));
  await cancel(db.sql, [toCancel.jobId, cancelled.jobId], "", 60_000);
  await reportAll(db, done(ended), failed(retried), done(cancelled));
  await release(db.reserved, [released], 20);
  await legacyReport(db.reserved, legacyDone(byLegacy.jobId), DEFAULT_BACKOFF);
  const before = await db.sql`SELECT xmin::text, ctid::text, job_id FROM ai_job ORDER BY id`;
  expect(await leaseVerdicts(db.sql, leases)).toEqual(expected);
  expect(await leaseVerdicts(db.sql, leases.toReversed())).toEqual(expected.toReversed());
  expect(await db.sql`SELECT xmin::text, ctid::text, job_id FROM ai_job ORDER BY id`).toEqual(before);
});

test("a stale token, an unknown job and no lease at all", async ({ db }) => {
  const jobId = await givenJob(db);
  const stale = await givenLease(db);
  const unknown = { jobId: "none", token: stale.token };
  expect(await leaseVerdicts(db.sql, [{ jobId, token: "other" }, unknown, stale])).toEqual(["LOST", "LOST", "HELD"]);
  expect(await leaseVerdicts(db.sql, [])).toEqual([]);
});

test("only a reclaim ends a lease, and the next claim makes the one that settled before LOST", async ({ db }) => {
  const jobId = await givenJob(db);
  const first = await givenLease(db, "w1", { leaseMs: EXPIRED });
  expect(await leaseVerdicts(db.sql, [first])).toEqual(["HELD"]);
  await reclaim(db.sql, 10);
  expect(await leaseVerdicts(db.sql, [first])).toEqual(["LOST"]);
  const second = await givenLease(db);
  await reportAll(db, failed(second));
  expect(await leaseVerdicts(db.sql, [second])).toEqual(["SETTLED"]);
  await makeDue(db, jobId);
  await givenLease(db);
  expect(await rowOf(db, jobId)).toMatchObject({ attempt_count: 3 });
  expect(await leaseVerdicts(db.sql, [second])).toEqual(["LOST"]);
});

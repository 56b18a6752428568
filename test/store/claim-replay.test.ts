/** The repeat of a Claim whose answer was lost: whose leases it finds, and what becomes of them. */
import { expect } from "vitest";
import { claim } from "../../src/store/claim.ts";
import type { Database, Sql } from "../../src/store/db.ts";
import { release } from "../../src/store/release.ts";
import { test } from "../support/db.ts";
import {
  anew,
  claimAs,
  done,
  expectNoDrift,
  givenJob,
  givenLease,
  replayAs,
  reportAll,
  rowOf,
} from "../support/jobs.ts";
import { until } from "../support/until.ts";

const idsOf = (leases: { jobId: string }[]) => leases.map(({ jobId }) => jobId);

test("a repeated request_id finds the leases that are still held, of this worker only", async ({ db }) => {
  for (let i = 0; i < 3; i++) await givenJob(db);
  const first = await claimAs(db, "w1", { limit: 3, requestId: "r1" });
  await reportAll(db, done(first[0] as (typeof first)[0]));
  const again = await replayAs(db, "w1", "r1");
  expect(again.held).toEqual(anew(first.slice(1)));
  expect(again.rest).toEqual([]);
  expect(await replayAs(db, "w2", "r1")).toEqual({ held: [], rest: [] });
  expect(await replayAs(db, "w1", "r2")).toEqual({ held: [], rest: [] });
  await expectNoDrift(db);
});

test("they run anew from the repeat on, and never shorter than was promised", async ({ db }) => {
  await givenJob(db);
  const first = await givenLease(db, "w1", { requestId: "r1" });
  const again = (await replayAs(db, "w1", "r1", { leaseMs: 90_000 })).held[0];
  expect(again?.expiresAt.getTime()).toBeGreaterThanOrEqual(first.expiresAt.getTime() + 30_000);
  expect(await rowOf(db, first.jobId)).toMatchObject({ lease_expires_at: again?.expiresAt, event_seq: "2" });
  expect((await replayAs(db, "w1", "r1", { leaseMs: 1_000 })).held[0]?.expiresAt).toEqual(again?.expiresAt);
  await expectNoDrift(db);
});

test("a broker that gives back what its caller did not wait for leaves what a repeat has found", async ({ db }) => {
  await givenJob(db);
  const lease = await givenLease(db, "w1", { requestId: "r1" });
  expect((await replayAs(db, "w1", "r1")).held).toHaveLength(1);
  expect(await release(db.sql, [lease], 10, true)).toMatchObject([{ released: false }]);
  expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
});

test("a repeat finds no more than it asks for, the newest, where two tries of it were answered", async ({ db }) => {
  for (let i = 0; i < 5; i++) await givenJob(db);
  const first = await claimAs(db, "w1", { limit: 3, requestId: "r1" });
  const second = await claimAs(db, "w1", { limit: 2, requestId: "r1" });
  const again = await replayAs(db, "w1", "r1", { limit: 2 });
  expect(idsOf(again.held)).toEqual(idsOf(second));
  expect(new Set(again.rest)).toEqual(new Set(first.map(({ jobId, token }) => ({ jobId, token }))));
  // Those that it has told come first from now on.
  const more = await replayAs(db, "w1", "r1", { limit: 3 });
  expect(idsOf(more.held)).toEqual(expect.arrayContaining(idsOf(second)));
  expect(more.rest).toHaveLength(2);
});

test("its answer is bounded by size as a claim's is, and the first lease comes whatever its size", async ({ db }) => {
  for (let i = 0; i < 3; i++) await givenJob(db, { payload: JSON.stringify({ text: "x".repeat(10_000) }) });
  const leases = await claimAs(db, "w1", { limit: 3, requestId: "r1" });
  const least = await replayAs(db, "w1", "r1", { maxBytes: 1 });
  expect(idsOf(least.held)).toEqual(idsOf(leases.slice(0, 1)));
  expect(least.rest).toHaveLength(2);
  expect((await replayAs(db, "w1", "r1", { maxBytes: 25_000 })).held).toHaveLength(2);
});

/** Runs the repeat while a transaction that does this to the job is open, and ends both. */
async function replayedDuring(db: Database, move: (tx: Sql) => Promise<unknown>, limit = 3) {
  const { replay } = await db.sql.begin(async (tx) => {
    await move(tx as unknown as Sql);
    const replay = replayAs(db, "w1", "r1", { limit });
    await until("the repeat waits", async () => {
      const waits = await db.reserved`
        SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
      return waits.length > 0;
    });
    return { replay };
  });
  return replay;
}

test("one that was claimed anew by another request meanwhile is that one's", async ({ db }) => {
  await givenJob(db);
  const lease = await givenLease(db, "w1", { requestId: "r1" });
  const found = await replayedDuring(db, async (tx) => {
    await release(tx, [lease], 10);
    const options = { types: [], limit: 1, leaseMs: 60_000, maxBytes: 3_000_000, token: "new" };
    const { leases } = await claim(tx, { ...options, workerId: "w1", requestId: "r2" });
    expect(idsOf(leases)).toEqual([lease.jobId]);
  });
  expect(found).toEqual({ held: [], rest: [] });
  expect((await replayAs(db, "w1", "r2")).held).toHaveLength(1);
});

test("where one of two has moved meanwhile the other gets no sign of life before both are seen", async ({ db }) => {
  await givenJob(db);
  await givenJob(db);
  const older = await givenLease(db, "w1", { requestId: "r1" });
  const newer = await givenLease(db, "w1", { requestId: "r1" });
  const found = await replayedDuring(
    db,
    (tx) => tx`UPDATE ai_job SET last_heartbeat_at = now(), move = move + 1 WHERE job_id = ${newer.jobId}`,
    1,
  );
  expect(idsOf(found.held)).toEqual([newer.jobId]);
  expect(await release(db.sql, found.rest, 10, true)).toMatchObject([{ jobId: older.jobId, released: true }]);
});

test("one that had a heartbeat meanwhile is found all the same", async ({ db }) => {
  await givenJob(db);
  const lease = await givenLease(db, "w1", { requestId: "r1" });
  const found = await replayedDuring(
    db,
    (tx) => tx`UPDATE ai_job SET last_heartbeat_at = now(), move = move + 1 WHERE job_id = ${lease.jobId}`,
  );
  expect(idsOf(found.held)).toEqual([lease.jobId]);
});

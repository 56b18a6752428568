import { describe, expect } from "vitest";
import { claimForSeats } from "../../src/store/claim.ts";
import type { Database, Sql } from "../../src/store/db.ts";
import type { Seat } from "../../src/store/rows.ts";
import { endSessions } from "../../src/store/sessions.ts";
import { test } from "../support/db.ts";
import {
  claimAs,
  claimSeats,
  done,
  expectNoDrift,
  givenJob,
  givenLease,
  givenSeat,
  replayAs,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

const OPTIONS = { types: [], leaseMs: 60_000, maxBytes: 3_000_000, token: "t" };

const past = (s: number) => new Date(Date.now() - s * 1_000);

async function givenJobs(db: Database, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await givenJob(db));
  return ids;
}

test("the first job in claim order goes to the first seat, the second to the second", async ({ db }) => {
  const one = await givenSeat(db, "i1");
  const two = await givenSeat(db, "i2");
  const third = await givenJob(db, { type: "ocr", runAt: past(10) });
  const second = await givenJob(db, { type: "embedding", runAt: past(20) });
  const last = await givenJob(db, { priority: 5, runAt: past(99) });
  const first = await givenJob(db, { type: "zeta", priority: -1 });
  const leases = await claimSeats(db, [two, one, one, two]);
  expect(leases.map((l) => [l.jobId, l.instanceId, l.sessionId, l.workerId])).toEqual([
    [first, "i2", two.sessionId, two.workerId],
    [second, "i1", one.sessionId, one.workerId],
    [third, "i1", one.sessionId, one.workerId],
    [last, "i2", two.sessionId, two.workerId],
  ]);
  await expectNoDrift(db);
});

test("a lease says in both tables through whom it was got, and a claim by call that it was through nobody", async ({
  db,
}) => {
  const jobId = await givenJob(db, { payload: '{"a": 1.50}', maxAttempts: 2 });
  const seat = await givenSeat(db, "i1", { workerId: 'odd "{name}, 한' });
  const [lease] = await claimSeats(db, [seat], { leaseMs: 30_000 });
  expect(lease).toMatchObject({ jobId, payload: '{"a": 1.50}', attempt: 1, maxAttempts: 2, leaseMs: 30_000 });
  const row = await rowOf(db, jobId);
  expect(row).toMatchObject({ status: "RUNNING", locked_by: 'odd "{name}, 한', instance_id: "i1", deliveries: 1 });
  expect((row["lease_expires_at"] as Date).getTime() - (row["locked_at"] as Date).getTime()).toBe(30_000);
  expect(await db.sql`SELECT worker_id, instance_id, request_id FROM ai_lease`).toEqual([
    { worker_id: 'odd "{name}, 한', instance_id: "i1", request_id: null },
  ]);
  await db.sql`UPDATE ai_job SET status = 'PENDING', instance_id = 'i9', move = move + 1`;
  await db.sql`INSERT INTO ai_ready SELECT job_type, priority, next_run_at, id, 2 FROM ai_job`;
  // The lease that stands there is a drift, which must not stop the queue.
  await givenLease(db, "w1");
  expect(await rowOf(db, jobId)).toMatchObject({ instance_id: null, locked_by: "w1" });
  expect(await db.sql`SELECT worker_id, instance_id FROM ai_lease`).toEqual([{ worker_id: "w1", instance_id: null }]);
});

test("fewer jobs than seats: the last seats get nothing; fewer seats than jobs: the last jobs wait", async ({ db }) => {
  const [a, b, c] = await givenJobs(db, 3);
  const one = await givenSeat(db, "i1");
  const two = await givenSeat(db, "i2");
  expect((await claimSeats(db, [one, two])).map((l) => [l.jobId, l.instanceId])).toEqual([
    [a, "i1"],
    [b, "i2"],
  ]);
  expect((await claimSeats(db, [two, one, one, two])).map((l) => [l.jobId, l.instanceId])).toEqual([[c, "i2"]]);
  expect(await claimSeats(db, [one, two])).toEqual([]);
  expect(await claimSeats(db, [])).toEqual([]);
  await expectNoDrift(db);
});

test("seats without a current session are passed over, and their jobs go to the next", async ({ db }) => {
  const [a, b, c] = await givenJobs(db, 3);
  const superseded = await givenSeat(db, "i1");
  const current = await givenSeat(db, "i1");
  const ended = await givenSeat(db, "i2");
  await endSessions(db.sql, [ended]);
  const unknown: Seat = { instanceId: "i3", sessionId: "s", workerId: "w" };
  const dead = [superseded, ended, unknown];
  expect(await claimSeats(db, dead)).toEqual([]);
  const seats = [superseded, current, ended, unknown, current];
  const { leases, deadSeats } = await claimForSeats(db.sql, { ...OPTIONS, seats });
  expect(deadSeats).toBe(3);
  expect(leases.map((l) => [l.jobId, l.sessionId])).toEqual([
    [a, current.sessionId],
    [b, current.sessionId],
  ]);
  expect(await statusOf(db, c as string)).toBe("PENDING");
  await expectNoDrift(db);
});

test("takes only the types that were asked for, and never one that is paused", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  await givenJob(db, { type: "embedding" });
  const ocr = await givenJob(db, { type: "ocr" });
  await givenJob(db, { type: "held" });
  await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('held')`;
  expect((await claimSeats(db, Array(5).fill(seat), { types: ["ocr", "held"] })).map((l) => l.jobId)).toEqual([ocr]);
  expect((await claimSeats(db, Array(5).fill(seat))).map((l) => l.type)).toEqual(["embedding"]);
});

test("an answer holds at most maxBytes of payload over all seats, but always a first job", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  for (let n = 0; n < 4; n++) await givenJob(db, { payload: JSON.stringify({ text: "x".repeat(1_000) }) });
  const seats = Array(4).fill(seat);
  expect(await claimSeats(db, seats, { maxBytes: 6_500 })).toHaveLength(2);
  expect(await claimSeats(db, seats, { maxBytes: 10 })).toHaveLength(1);
  expect(await claimSeats(db, seats)).toHaveLength(1);
  await expectNoDrift(db);
});

test("says whether the queue is known to hold no more", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  const dead: Seat = { ...seat, sessionId: "none" };
  const big = JSON.stringify({ text: "x".repeat(1_000) });
  const isShort = async (seats: Seat[], maxBytes = 3_000_000) =>
    (await claimForSeats(db.sql, { ...OPTIONS, token: `t${Math.random()}`, seats, maxBytes })).isShort;
  expect(await isShort([seat])).toBe(true);
  for (let n = 0; n < 8; n++) await givenJob(db, { payload: big });
  expect(await isShort([seat, seat])).toBe(false);
  // Cut by its size.
  expect(await isShort(Array(6).fill(seat), 6_500)).toBe(false);
  expect(await isShort([seat, dead])).toBe(false);
  expect(await isShort(Array(6).fill(seat))).toBe(true);
  await givenJob(db);
  expect(await isShort([dead])).toBe(false);
  expect(await isShort([seat, dead, seat])).toBe(true);
  await expectNoDrift(db);
});

test("jobs that are spent or to be cancelled end on the way and cost no seat", async ({ db }) => {
  const [spent, cancelled, good, better] = (await givenJobs(db, 4)) as [string, string, string, string];
  await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id = ${spent}`;
  await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = ${cancelled}`;
  const one = await givenSeat(db, "i1");
  const two = await givenSeat(db, "i2");
  const { leases, ended } = await claimForSeats(db.sql, { ...OPTIONS, seats: [one, two] });
  const nobody = { workerId: null, token: null, instanceId: null, durationMs: null };
  expect(ended).toMatchObject([
    { jobId: spent, to: "FAILED", ...nobody },
    { jobId: cancelled, to: "CANCELLED", ...nobody },
  ]);
  expect(leases.map((l) => [l.jobId, l.instanceId])).toEqual([
    [good, "i1"],
    [better, "i2"],
  ]);
  await expectNoDrift(db);
});

test("a claim whose seats are all dead ends no job either", async ({ db }) => {
  const jobId = await givenJob(db);
  await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = ${jobId}`;
  const dead: Seat = { instanceId: "i1", sessionId: "s", workerId: "w" };
  const nothing = { leases: [], ended: [], deadSeats: 2, isShort: false };
  expect(await claimForSeats(db.sql, { ...OPTIONS, seats: [dead, dead] })).toEqual(nothing);
  expect(await statusOf(db, jobId)).toBe("PENDING");
});

test("finds what is free behind jobs that another transaction holds", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  await givenJob(db, { type: "held", priority: -1 });
  const free = await givenJob(db, { type: "free" });
  await db.sql.begin(async (tx) => {
    await tx`SELECT FROM ai_job WHERE job_type = 'held' FOR UPDATE`;
    expect(await claimSeats({ ...db, sql: db.reserved }, [seat])).toMatchObject([{ jobId: free, instanceId: "i1" }]);
  });
  await expectNoDrift(db);
});

test("a lease of a stream is none that a repeated Claim finds", async ({ db }) => {
  await givenJob(db);
  const seat = await givenSeat(db, "i1");
  await claimSeats(db, [seat]);
  expect(await replayAs(db, seat.workerId, "r1")).toEqual({ held: [], rest: [] });
});

test("claims for seats and claims by call that run at once share the queue", async ({ db }) => {
  const ids = await givenJobs(db, 120);
  const seats = await Promise.all([1, 2, 3, 4].map((n) => givenSeat(db, `i${n}`)));
  const taken: string[] = [];
  const workers = [1, 2, 3].map(async (n) => {
    for (;;) {
      const leases = await claimSeats(db, [...seats, ...seats].slice(0, n * 2));
      if (leases.length === 0) return;
      expect(leases.map((l) => l.instanceId)).toEqual(
        [...seats, ...seats].slice(0, leases.length).map((s) => s.instanceId),
      );
      taken.push(...leases.map((l) => l.jobId));
    }
  });
  const caller = (async () => {
    for (let leases = await claimAs(db, "w1", { limit: 3 }); leases.length > 0; ) {
      taken.push(...leases.map((l) => l.jobId));
      leases = await claimAs(db, "w1", { limit: 3 });
    }
  })();
  await Promise.all([...workers, caller]);
  expect(taken.sort()).toEqual(ids.sort());
  await expectNoDrift(db);
});

describe("a session that is superseded", () => {
  test("gets nothing by a claim that begins afterwards, even while the new one is under way", async ({ db }) => {
    const [first] = await givenJobs(db, 2);
    const old = await givenSeat(db, "i1");
    await db.sql.begin(async (tx) => {
      const current = await givenSeat({ ...db, sql: tx as unknown as Sql }, "i1");
      // Not committed: the old one still counts, and nobody waits for anybody.
      expect(await claimSeats({ ...db, sql: db.reserved }, [old, current])).toMatchObject([
        { jobId: first, sessionId: old.sessionId },
      ]);
    });
    expect(await claimSeats(db, [old])).toEqual([]);
  });

  test("gets no job at all once its successor is answered, however many race", async ({ db }) => {
    await givenJobs(db, 60);
    let current = await givenSeat(db, "i1");
    const opened = [current];
    let over = false;
    const claims = [1, 2].map(async () => {
      while (!over) {
        const newest = opened.at(-1) as Seat;
        const before = opened.slice(0, -1).map((s) => s.sessionId);
        const leases = await claimSeats(db, [...opened.slice(-3), newest]);
        for (const lease of leases) {
          expect(before).not.toContain(lease.sessionId);
          expect(await reportAll(db, done(lease))).toEqual(["ACCEPTED"]);
        }
      }
    });
    for (let n = 0; n < 25; n++) {
      current = await givenSeat(db, "i1");
      opened.push(current);
    }
    over = true;
    await Promise.all(claims);
    await expectNoDrift(db);
  });
});

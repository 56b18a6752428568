import { describe, expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import type { Dispatched, HandOff, NewJob, Seat } from "../../src/store/rows.ts";
import { endSessions } from "../../src/store/sessions.ts";
import { test } from "../support/db.ts";
import {
  claimAs,
  done,
  EXPIRED,
  expectNoDrift,
  givenJob,
  givenLease,
  givenSeat,
  newJob,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

const MINUTE_MS = 60_000;

function handTo(db: Database, seats: Seat[], jobs: NewJob[], more: Partial<HandOff> = {}): Promise<Dispatched[]> {
  const handOff = { types: ["ocr"], seats, leaseMs: MINUTE_MS, maxBytes: 3_000_000, token: "t", ...more };
  return dispatch(db.sql, jobs, undefined, handOff);
}

/** The instance that each got, or null. */
const gotBy = (stored: Dispatched[]) => stored.map(({ lease }) => lease?.instanceId ?? null);

/** By their ids, as deliveries go by them. */
const events = (db: Database, jobId: string) =>
  db.sql`SELECT seq::int, kind, attempt, worker_id FROM ai_event WHERE job_id = ${jobId} ORDER BY id`;

test("a job that nothing comes before is its worker's lease as soon as it is stored", async ({ db }) => {
  const seat = await givenSeat(db, "i1", { workerId: "w1" });
  const job = newJob({ payload: '{"b": 1.50, "a": "한"}', tenantId: "t1", sourceDomain: "exams", maxAttempts: 2 });
  const [stored] = await handTo(db, [seat], [job]);
  expect(stored).toMatchObject({ jobId: job.id, created: true });
  expect(stored?.lease).toMatchObject({
    jobId: job.id,
    type: "ocr",
    payload: '{"a": "한", "b": 1.50}',
    tenantId: "t1",
    sourceDomain: "exams",
    token: `t.${job.id}`,
    attempt: 1,
    maxAttempts: 2,
    leaseMs: MINUTE_MS,
    workerId: "w1",
    instanceId: "i1",
    sessionId: seat.sessionId,
  });
  const row = await rowOf(db, job.id);
  expect(row).toMatchObject({ status: "RUNNING", attempt_count: 1, deliveries: 1, locked_by: "w1", instance_id: "i1" });
  expect(row["lease_expires_at"]).toEqual(stored?.lease?.expiresAt);
  expect((row["lease_expires_at"] as Date).getTime() - (row["locked_at"] as Date).getTime()).toBe(MINUTE_MS);
  expect(await events(db, job.id)).toEqual([
    { seq: 1, kind: "dispatched", attempt: 0, worker_id: null },
    { seq: 2, kind: "started", attempt: 1, worker_id: "w1" },
  ]);
  await expectNoDrift(db);
  expect(await claimAs(db, "w2")).toEqual([]);
  expect(await reportAll(db, done({ jobId: job.id, token: `t.${job.id}` }))).toEqual(["ACCEPTED"]);
  expect(await reportAll(db, done({ jobId: job.id, token: `t.${job.id}` }))).toEqual(["DUPLICATE"]);
});

test("it is just as a job that waited and was claimed", async ({ db }) => {
  const seat = await givenSeat(db, "i1", { workerId: "w1" });
  const [handed] = await handTo(db, [seat], [newJob()]);
  const claimed = await givenJob(db);
  await givenLease(db, "w1", { leaseMs: MINUTE_MS });
  const differs = new Set(["id", "job_id", "instance_id", "lease_token", "move"]);
  const row = async (jobId: string) =>
    Object.fromEntries(
      Object.entries(await rowOf(db, jobId)).map(([name, value]) => [
        name,
        differs.has(name) ? null : value instanceof Date ? "a time" : value,
      ]),
    );
  expect(await row(handed?.jobId as string)).toEqual(await row(claimed));
});

test("jobs go to seats in their order, and those beyond the last seat wait", async ({ db }) => {
  const one = await givenSeat(db, "i1");
  const two = await givenSeat(db, "i2");
  const jobs = [newJob(), newJob(), newJob(), newJob()];
  const stored = await handTo(db, [two, one, two], jobs);
  expect(gotBy(stored)).toEqual(["i2", "i1", "i2", null]);
  expect(await statusOf(db, jobs[3]?.id as string)).toBe("PENDING");
  expect((await claimAs(db, "w", { limit: 9 })).map(({ jobId }) => jobId)).toEqual([jobs[3]?.id]);
  await expectNoDrift(db);
});

test("the most urgent goes first, whatever its place in the batch", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  const jobs = [newJob({ priority: 5 }), newJob({ priority: -3 }), newJob({ priority: 0 })];
  expect(gotBy(await handTo(db, [seat, seat], jobs))).toEqual([null, "i1", "i1"]);
  await expectNoDrift(db);
});

describe("a job waits in line", () => {
  test("behind a due one of its priority, and of a more urgent one, in any lane of the seats", async ({ db }) => {
    const seat = await givenSeat(db, "i1");
    await givenJob(db, { type: "embedding", priority: 2 });
    const priorities = async (types: string[]) => {
      const of = async (priority: number) => gotBy(await handTo(db, [seat], [newJob({ priority })], { types }))[0];
      return [await of(1), await of(2), await of(3)];
    };
    expect(await priorities(["ocr", "embedding"])).toEqual(["i1", null, null]);
    expect(await priorities([])).toEqual(["i1", null, null]);
    await claimAs(db, "w", { types: ["ocr"], limit: 9 });
    expect(await priorities(["ocr"])).toEqual(["i1", "i1", "i1"]);
    await expectNoDrift(db);
  });

  test("but not behind one that is scheduled for later, or paused, or of a type that the seats do not take", async ({
    db,
  }) => {
    const seat = await givenSeat(db, "i1");
    await givenJob(db, { runAt: new Date(Date.now() + MINUTE_MS), priority: -9 });
    await givenJob(db, { type: "paused", priority: -9 });
    await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('paused')`;
    expect(gotBy(await handTo(db, [seat], [newJob()], { types: [] }))).toEqual(["i1"]);
    await givenJob(db, { type: "other", priority: -9 });
    expect(gotBy(await handTo(db, [seat], [newJob()]))).toEqual(["i1"]);
    expect(gotBy(await handTo(db, [seat], [newJob()], { types: [] }))).toEqual([null]);
  });

  test("when its type is paused, or when it is not due yet", async ({ db }) => {
    const seat = await givenSeat(db, "i1");
    await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('ocr')`;
    expect(gotBy(await handTo(db, [seat], [newJob()]))).toEqual([null]);
    await db.sql`DELETE FROM ai_type_pause`;
    await claimAs(db, "w");
    const later = newJob({ runAt: new Date(Date.now() + MINUTE_MS) });
    expect(gotBy(await handTo(db, [seat, seat], [later, newJob()]))).toEqual([null, "i1"]);
    await expectNoDrift(db);
  });

  test("when the session of its seat is no longer the current one", async ({ db }) => {
    const ended = await givenSeat(db, "i1");
    await endSessions(db.sql, [ended]);
    const old = await givenSeat(db, "i2");
    await givenSeat(db, "i2");
    expect(gotBy(await handTo(db, [ended, old], [newJob(), newJob()]))).toEqual([null, null]);
    await claimAs(db, "w", { limit: 2 });
    const live = await givenSeat(db, "i3");
    expect(gotBy(await handTo(db, [ended, live], [newJob(), newJob()]))).toEqual(["i3", null]);
    await expectNoDrift(db);
  });

  test("when it would not fit into one answer with those before it; the first goes whatever its size", async ({
    db,
  }) => {
    const seat = await givenSeat(db, "i1");
    // As jsonb it has a space more.
    const jobs = [1, 2, 3].map(() => newJob({ payload: '{"n":1}' }));
    const room = (count: number) => count * (2_048 + '{"n": 1}'.length);
    expect(gotBy(await handTo(db, [seat, seat, seat], jobs, { maxBytes: room(2) }))).toEqual(["i1", "i1", null]);
    await claimAs(db, "w");
    expect(gotBy(await handTo(db, [seat], [newJob()], { maxBytes: 1 }))).toEqual(["i1"]);
  });
});

test("what is known keeps its lease, and takes no seat", async ({ db }) => {
  const one = await givenSeat(db, "i1");
  const first = newJob({ idempotencyKey: "k" });
  await handTo(db, [one], [first]);
  const before = await rowOf(db, first.id);
  const again = { ...newJob({ idempotencyKey: "k" }), payload: first.payload };
  const fresh = newJob();
  const stored = await handTo(db, [one, one], [again, fresh, { ...fresh }]);
  expect(stored).toMatchObject([
    { jobId: first.id, created: false },
    { jobId: fresh.id, created: true },
    { jobId: fresh.id, created: false },
  ]);
  expect(gotBy(stored)).toEqual([null, "i1", null]);
  expect(await rowOf(db, first.id)).toEqual(before);
  await expect(handTo(db, [one], [newJob(), newJob({ idempotencyKey: "k", payload: "{}" })])).rejects.toMatchObject({
    reason: "IDEMPOTENCY_KEY_REUSED",
  });
  expect((await db.sql`SELECT count(*)::int FROM ai_job`)[0]).toEqual({ count: 2 });
});

test("its lease runs out as any other", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  const [stored] = await handTo(db, [seat], [newJob()], { leaseMs: EXPIRED });
  expect(stored?.lease).toBeDefined();
  expect(await reclaim(db.sql, 10)).toMatchObject([{ jobId: stored?.jobId, to: "PENDING", attempt: 1 }]);
  await expectNoDrift(db);
});

test("only the kinds of events that are kept are written", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  const handOff = { types: [], seats: [seat], leaseMs: MINUTE_MS, maxBytes: 1, token: "t" };
  const [a] = await dispatch(db.sql, [newJob()], new Set(["started"] as const), handOff);
  const [b] = await dispatch(db.sql, [newJob()], new Set(["dispatched"] as const), { ...handOff, token: "u" });
  const [c] = await dispatch(db.sql, [newJob()], new Set(), { ...handOff, token: "v" });
  const kinds = async (stored?: Dispatched) =>
    (await events(db, stored?.jobId ?? "")).map(({ kind, seq }) => [kind, seq]);
  expect([await kinds(a), await kinds(b), await kinds(c)]).toEqual([[["started", 2]], [["dispatched", 1]], []]);
});

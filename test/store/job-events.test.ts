/** What is known of one job's past, and who has it now. */
import { expect } from "vitest";
import { cancel } from "../../src/store/cancel.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { jobEvents } from "../../src/store/job-events.ts";
import { test } from "../support/db.ts";
import { done, failed, givenJob, givenLease, givenSeatLease, reportAll } from "../support/jobs.ts";

const ALL = { after: 0, size: 100 };

test("a job's attempts are told in order, and in pages of any size", async ({ db }) => {
  const jobId = await givenJob(db);
  for (let n = 0; n < 3; n++) await reportAll(db, failed(await givenLease(db, `w${n}`), { retryDelayMs: 0 }));
  await reportAll(db, done(await givenLease(db, "w3")));
  await givenJob(db);
  const whole = await jobEvents(db, jobId, ALL);
  expect(whole?.events.map(({ seq, kind, workerId, error }) => [seq, kind, workerId, error])).toEqual([
    [1, "dispatched", null, null],
    [2, "started", "w0", null],
    [3, "retrying", "w0", "it broke"],
    [4, "started", "w1", null],
    [5, "retrying", "w1", "it broke"],
    [6, "started", "w2", null],
    [7, "retrying", "w2", "it broke"],
    [8, "started", "w3", null],
    [9, "done", "w3", null],
  ]);
  expect(whole).toMatchObject({ next: null, lease: null });
  const paged = [];
  for (let after: number | null = 0; after !== null; ) {
    const page = await jobEvents(db, jobId, { after, size: 4 });
    paged.push(...(page?.events ?? []));
    after = page?.next ?? null;
  }
  expect(paged).toEqual(whole?.events);
  expect((await jobEvents(db, jobId, { after: 0, size: 9 }))?.next).toBeNull();
});

test("the lease that is held is told with its end, its heartbeat, its progress and a cancel that runs", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  expect((await jobEvents(db, jobId, ALL))?.lease).toBeNull();
  const lease = await givenSeatLease(db, "i1");
  const first = (await jobEvents(db, jobId, ALL))?.lease;
  expect(first).toMatchObject({
    workerId: "worker of i1",
    instanceId: "i1",
    attempt: 1,
    progress: null,
    cancelAt: null,
  });
  expect(first?.lastHeartbeatAt).toEqual(first?.lockedAt);
  expect(Number(first?.expiresAt) - Number(first?.lookedAt)).toBeGreaterThan(50_000);
  await heartbeat(db.reserved, [{ ...lease, progress: { percent: 40, note: "page 2" } }], 90_000);
  await cancel(db.sql, [jobId], "enough", 30_000);
  const later = (await jobEvents(db, jobId, ALL))?.lease;
  expect(later?.progress).toEqual({ percent: 40, note: "page 2" });
  expect(Number(later?.lastHeartbeatAt)).toBeGreaterThan(Number(first?.lastHeartbeatAt));
  expect(Number(later?.cancelAt) - Number(later?.lookedAt)).toBeGreaterThan(20_000);
});

test("a job of which no event is kept has none; of one that left, those that are kept are told", async ({ db }) => {
  const jobId = await givenJob(db);
  await db.sql`DELETE FROM ai_event`;
  expect(await jobEvents(db, jobId, ALL)).toEqual({ events: [], next: null, lease: null });
  await givenLease(db);
  await db.sql`DELETE FROM ai_job`;
  expect((await jobEvents(db, jobId, ALL))?.events).toMatchObject([{ kind: "started" }]);
  expect(await jobEvents(db, "nobody", ALL)).toBeNull();
});

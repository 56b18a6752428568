/** What goes on now: what waits, how fast it goes, and when it will be gone. */
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { brokerSeen, endSessions } from "../../src/store/sessions.ts";
import { statsNow } from "../../src/store/stats-now.ts";
import { pauseType } from "../../src/store/type-pause.ts";
import { recordSeen } from "../../src/store/workers.ts";
import { test } from "../support/db.ts";
import { claimAs, givenJob, givenLease, givenSeat } from "../support/jobs.ts";

/** A minute of history, so many minutes ago; the numbers are of dispatched, done and failed. */
async function givenMinute(db: Database, type: string, ago: number, counts: [number, number, number], ranMs = 0) {
  const [dispatched, done, failed] = counts;
  // The histogram's bounds: 10 ms, 20 ms, …
  const ran = ranMs === 0 ? [] : Array.from({ length: 25 }, (_, at) => (10 * 2 ** at === ranMs ? done : 0));
  await db.sql`INSERT INTO ai_history
    (step_s, at, job_type, dispatched, started, retrying, done, failed, cancelled, waited, ran)
    SELECT 60, date_trunc('minute', now()) - ${ago}::int * interval '1 minute', ${type}, ${dispatched}::int, 0, 0,
      ${done}::int, ${failed}::int, 0, '{}',
      ARRAY(SELECT n::float8 FROM jsonb_array_elements_text(${JSON.stringify(ran)}::text::jsonb) n)`;
}

const typeOf = async (db: Database, type: string) => (await statsNow(db)).types.find((one) => one.type === type);

test("a type's numbers are those of the queue, and since when its oldest job has been due", async ({ db }) => {
  await givenJob(db);
  await givenJob(db);
  await givenJob(db, { runAt: new Date("2999-01-01T00:00:00Z") });
  await givenLease(db);
  await pauseType(db, "ocr", "");
  await db.sql`UPDATE ai_job SET next_run_at = '2020-01-01T00:00:00.123Z' WHERE status = 'PENDING' AND next_run_at < now()`;
  const { types, countedAt } = await statsNow(db);
  expect(types).toEqual([
    {
      type: "ocr",
      due: 1,
      scheduled: 1,
      running: 1,
      paused: true,
      oldestDueAt: new Date("2020-01-01T00:00:00.123Z"),
      dispatchedPerMinute: 0,
      donePerMinute: 0,
      failedPerMinute: 0,
      waitP50Ms: null,
      waitP95Ms: null,
      runP50Ms: null,
      runP95Ms: null,
      emptyInMs: null,
    },
  ]);
  expect(Math.abs(countedAt.getTime() - Date.now())).toBeLessThan(60_000);
});

test("the last minute's pace is that of the minute under way and the rest of the one before", async ({ db }) => {
  for (let ago = 0; ago < 4; ago++) await givenMinute(db, "ocr", ago, [120, 60, 6]);
  const now = await typeOf(db, "ocr");
  // Between none and all of the minute before, besides the one under way.
  for (const [rate, count] of [
    [now?.dispatchedPerMinute, 120],
    [now?.donePerMinute, 60],
    [now?.failedPerMinute, 6],
  ] as const) {
    expect(rate).toBeGreaterThan(0.9 * count);
    expect(rate).toBeLessThanOrEqual(2 * count);
  }
});

test("a type whose queue is empty is told for as long as its jobs have ended lately", async ({ db }) => {
  await givenMinute(db, "quiet", 10, [0, 4, 0], 640);
  await givenMinute(db, "quieter", 40, [0, 4, 0], 640);
  const { types } = await statsNow(db);
  expect(types.map(({ type }) => type)).toEqual(["quiet"]);
  expect(types[0]).toMatchObject({ due: 0, donePerMinute: 0, runP95Ms: expect.any(Number) });
  expect(types[0]?.runP50Ms).toBeGreaterThan(320);
  expect(types[0]?.runP95Ms).toBeLessThanOrEqual(640);
});

test("the end of a queue is foretold by how much more leaves it than comes, and not where it grows", async ({ db }) => {
  for (const type of ["shrinks", "grows", "empty"]) {
    if (type !== "empty") for (let n = 0; n < 30; n++) await givenJob(db, { type });
    for (let ago = 1; ago < 5; ago++) await givenMinute(db, type, ago, type === "grows" ? [9, 5, 0] : [1, 5, 2]);
  }
  // 30 jobs, of which about 6 more leave than come in each of four of the last five minutes.
  const emptyInMs = (await typeOf(db, "shrinks"))?.emptyInMs ?? 0;
  expect(emptyInMs / 60_000).toBeGreaterThan(5);
  expect(emptyInMs / 60_000).toBeLessThan(9);
  expect((await typeOf(db, "grows"))?.emptyInMs).toBeNull();
  expect((await typeOf(db, "empty"))?.emptyInMs).toBeNull();
});

test("workers are counted by how they come, with their seats and what they hold", async ({ db }) => {
  await brokerSeen(db.sql, "broker-1");
  await recordSeen(db.sql, [
    { workerId: "old", legacy: true, types: null },
    { workerId: "caller", legacy: false, types: [] },
    { workerId: "gone", legacy: false, types: [] },
    { workerId: "left", legacy: false, types: [] },
  ]);
  await endSessions(db.sql, [await givenSeat(db, "i0", { workerId: "left" })]);
  await db.sql`UPDATE ai_worker SET last_seen_at = now() - interval '2 minutes' WHERE worker_id = 'gone'`;
  await givenSeat(db, "i1", { workerId: "streamer", maxInFlight: 4 });
  await givenSeat(db, "i2", { workerId: "streamer", maxInFlight: 3 });
  for (let n = 0; n < 3; n++) await givenJob(db);
  await claimAs(db, "holder", { limit: 2 });
  await claimAs(db, "old");
  const { workers } = await statsNow(db);
  expect(workers).toEqual({ workers: 4, streaming: 1, legacy: 1, seats: 7, running: 3 });
});

/** What happened over time, rolled up from the events. */
import { expect } from "vitest";
import { quantileMs } from "../../src/job/histogram.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { forgetHistory, rollUp } from "../../src/store/history.ts";
import { type HistoryAsked, readHistory } from "../../src/store/history-read.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { claimAs, done, failed, givenJob, givenLease, newJob, reportAll } from "../support/jobs.ts";

const HOUR: HistoryAsked = { stepS: 60, pointS: 60, points: 60, types: "each" };

/** Until nothing is left to count; answers how many events were. */
async function rollUpAll(db: Database, page?: number): Promise<number> {
  let events = 0;
  for (let more = true; more; ) {
    const step = await rollUp(db.background, page);
    events += step.events;
    more = step.more;
  }
  return events;
}

/** Type, and dispatched, started, retrying, done, failed, cancelled of all points together. */
async function totals(db: Database, more: Partial<HistoryAsked> = {}) {
  const { points } = await readHistory(db, { ...HOUR, ...more });
  const sums = new Map<string, number[]>();
  for (const { type, dispatched, started, retrying, done, failed, cancelled } of points) {
    const sum = sums.get(type) ?? [0, 0, 0, 0, 0, 0];
    sums.set(
      type,
      [dispatched, started, retrying, done, failed, cancelled].map((count, at) => count + (sum[at] as number)),
    );
  }
  return Object.fromEntries(sums);
}

/** Events as they would be there, of one kind a row; each of a job of its own unless told. */
async function givenEvents(db: Database, kind: string, type: string, agoS: number, count = 1): Promise<void> {
  await db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, at)
    SELECT ${kind} || ${type}::text || ${agoS}::int || '-' || n, 1, ${kind}, ${type}, 1,
      now() - ${agoS}::int * interval '1 second'
    FROM generate_series(1, ${count}::int) n`;
}

test("each event is counted once, by type and minute, whoever counts and however often", async ({ db }) => {
  for (const type of ["ocr", "ocr", "tag"]) await givenJob(db, { type });
  await reportAll(db, done(await givenLease(db, "w", { types: ["ocr"] })));
  await reportAll(db, failed(await givenLease(db, "w", { types: ["ocr"] }), { retryDelayMs: 60_000 }));
  await reportAll(db, failed(await givenLease(db, "w", { types: ["tag"] }), { retryable: false }));
  await cancel(db.sql, [await givenJob(db, { type: "tag" })], "", 0);
  expect(await rollUpAll(db)).toBe(11);
  const expected = { ocr: [2, 2, 1, 1, 0, 0], tag: [2, 1, 0, 0, 1, 1] };
  expect(await totals(db)).toEqual(expected);
  expect(await rollUpAll(db)).toBe(0);
  expect(await totals(db)).toEqual(expected);
  expect(await totals(db, { stepS: 300, pointS: 300, points: 12 })).toEqual(expected);
  expect(await totals(db, { types: "all" })).toEqual({ "": [4, 3, 1, 1, 1, 1] });
  expect(await totals(db, { types: ["tag", "none"] })).toEqual({ tag: expected.tag });
  await givenJob(db, { type: "tag" });
  expect(await rollUpAll(db)).toBe(1);
  expect(await totals(db, { types: ["tag"] })).toEqual({ tag: [3, 1, 0, 0, 1, 1] });
});

test("small steps count the same as one large one", async ({ db }) => {
  await givenEvents(db, "done", "ocr", 30, 17);
  await givenEvents(db, "failed", "tag", 90, 8);
  expect(await rollUpAll(db, 3)).toBe(25);
  expect(await totals(db)).toEqual({ ocr: [0, 0, 0, 17, 0, 0], tag: [0, 0, 0, 0, 8, 0] });
});

test("what commits late is counted when it has, and once", async ({ db, url }) => {
  const other = openTestDatabase(url);
  const open = Promise.withResolvers<void>();
  const commit = Promise.withResolvers<void>();
  const slow = other.sql.begin(async (tx) => {
    await dispatch(tx as unknown as Database["sql"], [newJob({ type: "late" })]);
    open.resolve();
    await commit.promise;
  });
  await open.promise;
  await givenJob(db, { type: "quick" });
  expect(await rollUpAll(db)).toBe(0);
  commit.resolve();
  await slow;
  await other.close();
  expect(await rollUpAll(db)).toBe(2);
  expect(await totals(db)).toEqual({ late: [1, 0, 0, 0, 0, 0], quick: [1, 0, 0, 0, 0, 0] });
});

test("brokers that count at the same time count nothing twice", async ({ db, url }) => {
  const other = openTestDatabase(url);
  await givenEvents(db, "done", "ocr", 0, 200);
  const counted = await Promise.all([db, other, db, other].map((one) => rollUpAll(one, 7)));
  expect(counted.reduce((sum, count) => sum + count, 0)).toBe(200);
  expect(await totals(db)).toEqual({ ocr: [0, 0, 0, 200, 0, 0] });
  await other.close();
});

test("how long jobs waited and ran is read off those that were done", async ({ db }) => {
  const ids = Array.from({ length: 20 }, (_, n) => `j${n}`);
  for (const id of ids) await givenJob(db, { id });
  for (const lease of await claimAs(db, "w", { limit: 20 })) await reportAll(db, done(lease));
  // Each waited for 4 s and ran for 30; one was to run at a later time, from which on it waited.
  await db.sql`UPDATE ai_job SET created_at = now() - interval '34 s', next_run_at = now() - interval '34 s',
    locked_at = now() - interval '30 s', finished_at = now(), move = move + 1`;
  await db.sql`UPDATE ai_job SET created_at = now() - interval '1 h', move = move + 1 WHERE job_id = 'j3'`;
  await db.sql`UPDATE ai_event SET at = now()`;
  await rollUpAll(db);
  const { points } = await readHistory(db, HOUR);
  const [point] = points;
  for (const [histogram, ms] of [
    [point?.waited, 4_000],
    [point?.ran, 30_000],
  ] as const) {
    expect(histogram?.reduce((sum, count) => sum + count, 0)).toBe(20);
    for (const share of [0.5, 0.95]) {
      expect(quantileMs(histogram ?? [], share)).toBeGreaterThan(ms / 2);
      expect(quantileMs(histogram ?? [], share)).toBeLessThan(ms * 2);
    }
  }
});

test("of many jobs that were done in a minute a sample stands for all", async ({ db }) => {
  await db.sql`INSERT INTO ai_job (job_id, job_type, status, locked_at, created_at, next_run_at, move)
    SELECT 'j' || n, 'ocr', 'DONE', now() - interval '1 s', now() - interval '3 s', now() - interval '3 s', 1
    FROM generate_series(1, 1234) n`;
  await db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt)
    SELECT 'j' || n, 1, 'done', 'ocr', 1 FROM generate_series(1, 1234) n`;
  await rollUpAll(db);
  const { points } = await readHistory(db, HOUR);
  expect(points).toMatchObject([{ type: "ocr", done: 1234 }]);
  expect(points[0]?.waited.reduce((sum, count) => sum + count, 0)).toBeCloseTo(1234, 6);
  expect(quantileMs(points[0]?.ran ?? [], 0.5)).toBeGreaterThan(500);
});

test("points begin at whole steps, and say up to when they are counted", async ({ db }) => {
  expect(await readHistory(db, HOUR)).toMatchObject({ points: [], countedTo: null });
  await givenEvents(db, "done", "ocr", 0);
  await givenEvents(db, "done", "ocr", 600);
  await givenEvents(db, "done", "ocr", 3_700);
  await rollUpAll(db);
  const { points, firstAt, lastAt, now, countedTo } = await readHistory(db, HOUR);
  expect(points.map(({ done: count }) => count)).toEqual([1, 1]);
  for (const time of [firstAt, lastAt, ...points.map(({ at }) => at)]) expect(time.getTime() % 60_000).toBe(0);
  expect(lastAt.getTime() - firstAt.getTime()).toBe(59 * 60_000);
  expect(now.getTime() - lastAt.getTime()).toBeLessThan(60_000);
  expect(now.getTime() - Number(countedTo?.getTime())).toBeLessThan(60_000);
  const hours = await readHistory(db, { stepS: 300, pointS: 3_600, points: 3, types: "all" });
  expect(hours.points.reduce((sum, { done: count }) => sum + count, 0)).toBe(3);
  for (const { at } of hours.points) expect(at.getTime() % 3_600_000).toBe(0);
});

test("types past the hundredth share rows, so that the table stays small", async ({ db }) => {
  for (let n = 0; n < 3; n++) {
    await db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt)
      SELECT 'j' || ${n}::int || '-' || n, 1, 'done', 'type-' || n, 1 FROM generate_series(${n * 60}::int, ${n * 60 + 59}::int) n`;
    await rollUpAll(db);
  }
  // A minute may pass meanwhile, and with it five.
  const [row] = await db.sql`SELECT max(types)::int AS types, sum(done)::int / 2 AS done FROM (
    SELECT count(*) AS types, sum(done) AS done FROM ai_history GROUP BY step_s, at) h`;
  expect(row?.["types"]).toBeLessThanOrEqual(101);
  expect(row?.["done"]).toBe(180);
});

test("a database that comes from another server goes on from now", async ({ db }) => {
  await givenEvents(db, "done", "ocr", 10, 3);
  await rollUpAll(db);
  await db.sql`UPDATE ai_history_place SET xid = '9000000000'`;
  await db.sql`UPDATE ai_event SET xid = '3'`;
  expect(await rollUpAll(db)).toBe(0);
  await givenEvents(db, "done", "ocr", 0, 2);
  expect(await rollUpAll(db)).toBe(2);
  expect(await totals(db)).toEqual({ ocr: [0, 0, 0, 5, 0, 0] });
});

test("rows leave by their age: minutes after a day, longer steps after a week; older events are passed over", async ({
  db,
}) => {
  const day = 86_400;
  for (const agoS of [60, day + 600, 6 * day, 8 * day]) await givenEvents(db, "done", "ocr", agoS);
  expect(await rollUpAll(db)).toBe(4);
  const rows = async () =>
    (
      await db.sql`SELECT step_s, round(extract(epoch FROM now() - at) / 86400)::int AS days FROM ai_history
      ORDER BY step_s, at DESC`
    ).map((row) => [row["step_s"], row["days"]]);
  expect(await rows()).toEqual([
    [60, 0],
    [60, 1],
    [60, 6],
    [300, 0],
    [300, 1],
    [300, 6],
  ]);
  await db.sql`UPDATE ai_history SET at = at - interval '2 days' WHERE step_s = 300`;
  expect(await forgetHistory(db.background, 2)).toBe(2);
  expect(await forgetHistory(db.background, 100)).toBe(1);
  expect(await rows()).toEqual([
    [60, 0],
    [300, 2],
    [300, 3],
  ]);
});

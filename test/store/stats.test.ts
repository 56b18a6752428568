import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { stats } from "../../src/store/stats.ts";
import { pauseType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import { givenRows } from "./given-rows.ts";

const NONE_DUE = { oldestDueMs: null, oldestDueAt: null };
const ZERO = { due: 0, scheduled: 0, running: 0, done: 0, failed: 0, cancelled: 0, paused: false, ...NONE_DUE };

test("nothing is counted in an empty database, but the time is told", async ({ db }) => {
  const { types, countedAt } = await stats(db, { includeEnded: true });
  expect(types).toEqual([]);
  expect(Math.abs(countedAt.getTime() - Date.now())).toBeLessThan(60_000);
});

test("jobs are counted by type: due and scheduled, running, and ended ones only when asked", async ({ db }) => {
  await givenRows(db, [
    { job_id: "1", job_type: "ocr", next_run_at: "2026-01-01T00:00:00Z" },
    { job_id: "2", job_type: "ocr" },
    { job_id: "3", job_type: "ocr", next_run_at: "2999-01-01T00:00:00Z" },
    { job_id: "4", job_type: "embedding", next_run_at: "2999-01-01T00:00:00Z" },
    { job_id: "5", job_type: "embedding", status: "RUNNING" },
    { job_id: "6", job_type: "embedding", status: "DONE" },
    { job_id: "7", job_type: "over", status: "DONE" },
    { job_id: "8", job_type: "over", status: "FAILED" },
    { job_id: "9", job_type: "over", status: "CANCELLED" },
  ]);
  const oldestDueAt = new Date("2026-01-01T00:00:00Z");
  const open = await stats(db, { includeEnded: false });
  expect(open.types).toEqual([
    { ...ZERO, type: "embedding", scheduled: 1, running: 1 },
    { ...ZERO, type: "ocr", due: 2, scheduled: 1, oldestDueMs: expect.any(Number), oldestDueAt },
  ]);
  const oldest = open.countedAt.getTime() - oldestDueAt.getTime();
  expect(Math.abs((open.types[1]?.oldestDueMs ?? 0) - oldest)).toBeLessThan(2);
  const all = await stats(db, { includeEnded: true });
  expect(all.types).toMatchObject([
    { type: "embedding", scheduled: 1, running: 1, done: 1 },
    { type: "ocr", due: 2, scheduled: 1 },
    { ...ZERO, type: "over", done: 1, failed: 1, cancelled: 1 },
  ]);
});

test("a paused type is shown, whether or not it has jobs", async ({ db }) => {
  await givenRows(db, [{ job_id: "1", job_type: "ocr" }]);
  await pauseType(db, "ocr", "");
  await pauseType(db, "absent", "");
  const { types } = await stats(db, { includeEnded: false });
  expect(types).toMatchObject([
    { ...ZERO, type: "absent", paused: true },
    { type: "ocr", due: 1, paused: true },
  ]);
});

/** A count of ended jobs that waits for a lock of another transaction, until Postgres gives up its statement so. */
async function countEnded(db: Database, how: "pg_cancel_backend" | "pg_terminate_backend"): Promise<unknown> {
  return await db.sql.begin(async (tx) => {
    await tx`LOCK TABLE ai_job`;
    const counted = stats(db, { includeEnded: true }).catch((error: unknown) => error);
    await until("the count waits and is ended", async () => {
      // Not in the transaction, which keeps what it once saw of the others.
      const ended = await db.sql.unsafe(`SELECT ${how}(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH ready%'`);
      return ended.length > 0;
    });
    return await counted;
  });
}

test("a count of ended jobs that takes too long says to ask without them", async ({ db }) => {
  expect(await countEnded(db, "pg_cancel_backend")).toMatchObject({
    reason: "BAD_FIELD",
    field: "include_ended",
    message: expect.stringMatching(/took longer than 30 s: ask without it/),
  });
});

test("a count of ended jobs that loses its connection is not called too slow", async ({ db }) => {
  const error = await countEnded(db, "pg_terminate_backend");
  expect(error).toBeInstanceOf(Error);
  expect(error).not.toMatchObject({ reason: "BAD_FIELD" });
});

import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { learned, liveHands, liveWorkers } from "../../src/store/ec2-workers.ts";
import { endSessions } from "../../src/store/sessions.ts";
import { recordSeen } from "../../src/store/workers.ts";
import { test } from "../support/db.ts";
import { claimAs, claimSeats, givenJob, givenLease, givenSeat } from "../support/jobs.ts";
import { givenRows } from "./given-rows.ts";

const seen = (db: Database, workerId: string, types: string[] | null = []) =>
  recordSeen(db.sql, [{ workerId, legacy: false, types }]);

const age = (db: Database, workerId: string, seconds: number) =>
  db.sql`UPDATE ai_worker SET last_seen_at = now() - ${seconds}::float8 * interval '1 second' WHERE worker_id = ${workerId}`;

test("streams count with their seats, less what they hold", async ({ db }) => {
  const seat = await givenSeat(db, "i1", { types: ["ocr"], maxInFlight: 3 });
  await givenSeat(db, "i2", { types: ["ocr"], maxInFlight: 2 });
  await givenJob(db);
  await claimSeats(db, [seat]);
  expect(await liveHands(db)).toEqual([{ types: ["ocr"], seats: 5, free: 4 }]);
});

test("a stream that ended, or whose broker is gone, counts no more; nor does its worker, however lately it was seen", async ({
  db,
}) => {
  const [ended, lost] = [await givenSeat(db, "i1"), await givenSeat(db, "i2")];
  await seen(db, ended.workerId);
  await seen(db, lost.workerId);
  await endSessions(db.sql, [ended]);
  expect(await liveWorkers(db)).toEqual([lost.workerId]);
  await db.sql`UPDATE ai_broker SET seen_at = now() - interval '16 seconds'`;
  expect(await liveWorkers(db)).toEqual([]);
});

test("a worker that went over from a stream to polls lives on", async ({ db }) => {
  const { workerId, ...seat } = await givenSeat(db, "i1");
  await endSessions(db.sql, [seat]);
  await db.sql`UPDATE ai_session SET ended_at = now() - interval '20 seconds', connected_at = now() - interval '1 hour'`;
  await seen(db, workerId, ["ocr"]);
  expect(await liveHands(db)).toEqual([{ types: ["ocr"], seats: 1, free: 1 }]);
});

test("a worker that polls lives for a minute after its last call, or as long as it holds a lease", async ({ db }) => {
  await seen(db, "busy", ["ocr"]);
  await seen(db, "idle", ["ocr"]);
  await seen(db, "gone", ["ocr"]);
  await givenJob(db);
  await givenLease(db, "busy");
  await age(db, "busy", 600);
  await age(db, "idle", 59);
  await age(db, "gone", 61);
  expect(await liveWorkers(db)).toEqual(["busy", "idle"]);
  expect(await liveHands(db)).toEqual([{ types: ["ocr"], seats: 2, free: 1 }]);
});

test("a lease that has run out keeps nobody alive", async ({ db }) => {
  await givenJob(db);
  await claimAs(db, "dead", { leaseMs: -1_000 });
  expect(await liveWorkers(db)).toEqual([]);
});

test("the Django app's own workers, which no broker has seen, count by their leases", async ({ db }) => {
  await givenRows(db, [{ job_id: "j", status: "RUNNING", locked_by: "django" }]);
  expect(await liveHands(db)).toEqual([{ types: [], seats: 1, free: 0 }]);
});

/** So many jobs that took so long, older than everything that comes after. */
async function givenDone(db: Database, type: string, seconds: number[]): Promise<void> {
  for (const [n, one] of seconds.entries()) {
    await db.sql`INSERT INTO ai_job (job_id, job_type, status, locked_at, finished_at, move)
      VALUES (${`${type}-${n}`}, ${type}, 'DONE', now() - ${one}::float8 * interval '1 second', now(), 1)`;
  }
}

test("what a job takes is the median of its type, of jobs that are done", async ({ db }) => {
  await givenDone(db, "ocr", [1, 2, 600]);
  await givenDone(db, "embedding", [0.25]);
  await givenRows(db, [{ job_id: "f", job_type: "other", status: "FAILED" }]);
  const { medianMs, bootMs } = await learned(db);
  expect([...medianMs].sort()).toEqual([
    ["embedding", 250],
    ["ocr", 2_000],
  ]);
  expect(bootMs).toBeNull();
});

test("it is known under a backlog, too, that is longer than what is read", async ({ db }) => {
  await givenDone(db, "ocr", [3]);
  await db.sql`INSERT INTO ai_job (job_id, job_type, move) SELECT 'p' || n, 'ocr', 1 FROM generate_series(1, 1500) n`;
  await db.sql`INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
    SELECT job_type, priority, next_run_at, id, 2 FROM ai_job WHERE status = 'PENDING' ON CONFLICT DO NOTHING`;
  expect((await learned(db)).medianMs.get("ocr")).toBe(3_000);
});

test("what a boot takes is learned from the starts whose worker came by itself", async ({ db }) => {
  await db.sql`
    INSERT INTO ai_ec2_intent (instance_id, source, reason, broker_id, call_until, known_workers, started_at, ended_at,
      alerted_at, outcome)
    SELECT 'i-0000000a', source, '', 'b1', now(), '{}', now() - s * interval '1 second', now(),
      CASE WHEN alerted THEN now() END, outcome
    FROM (VALUES (40, 'loop', false, 'connected'), (50, 'operator', false, 'connected'), (60, 'loop', false, 'connected'),
      (1, 'found', false, 'connected'), (9000, 'loop', true, 'connected'), (2, 'loop', false, 'stopped'))
      AS v (s, source, alerted, outcome)`;
  expect((await learned(db)).bootMs).toBe(50_000);
});

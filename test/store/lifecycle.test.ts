/** Runs every move on a job in every state and holds the SQL and the table of job/lifecycle.ts together. */
import { expect } from "vitest";
import { isLegal, MOVES, type Move } from "../../src/job/lifecycle.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { STATUSES, type Status } from "../../src/job/status.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim, reclaimUnheld } from "../../src/store/reclaim.ts";
import { release, releaseJobs } from "../../src/store/release.ts";
import { retry } from "../../src/store/retry.ts";
import { update } from "../../src/store/update.ts";
import { test, truncateAll } from "../support/db.ts";
import {
  claimAs,
  claimSeats,
  done,
  expectNoDrift,
  expire,
  failed,
  givenJob,
  givenSeat,
  legacyDone,
  legacyFailed,
  reportAll,
  statusOf,
} from "../support/jobs.ts";

interface Subject {
  jobId: string;
  token: string;
}

/** The ways into each state that may make a difference to the next move. */
const STATES: Record<string, (db: Database) => Promise<Subject>> = {
  PENDING: async (db) => ({ jobId: await givenJob(db), token: "none" }),
  "PENDING, cancel requested": async (db) => {
    const subject = await running(db);
    await cancel(db.sql, [subject.jobId], "", 60_000);
    // As Django's reclaim does it, which knows nothing of cancels.
    await db.sql`UPDATE ai_job SET status = 'PENDING' WHERE job_id = ${subject.jobId}`;
    return subject;
  },
  "PENDING, spent": async (db) => {
    const jobId = await givenJob(db);
    await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id = ${jobId}`;
    return { jobId, token: "none" };
  },
  RUNNING: running,
  "RUNNING, last attempt": (db) => running(db, 1),
  "RUNNING, cancel requested": async (db) => {
    const subject = await running(db);
    await cancel(db.sql, [subject.jobId], "", 60_000);
    return subject;
  },
  "RUNNING, expired": async (db) => {
    const subject = await running(db);
    await expire(db, subject.jobId);
    return subject;
  },
  "RUNNING, expired, last attempt": async (db) => {
    const subject = await running(db, 1);
    await expire(db, subject.jobId);
    return subject;
  },
  "RUNNING, cancel requested, grace over": async (db) => {
    const subject = await running(db);
    await cancel(db.sql, [subject.jobId], "", 0);
    return subject;
  },
  DONE: async (db) => {
    const subject = await running(db);
    await reportAll(db, done(subject));
    return subject;
  },
  FAILED: async (db) => {
    const subject = await running(db);
    await reportAll(db, failed(subject, { retryable: false }));
    return subject;
  },
  CANCELLED: async (db) => {
    const jobId = await givenJob(db);
    await cancel(db.sql, [jobId], "", 60_000);
    return { jobId, token: "none" };
  },
};

async function running(db: Database, maxAttempts = 5): Promise<Subject> {
  const jobId = await givenJob(db, { maxAttempts });
  const [lease] = await claimSeats(db, [await givenSeat(db, "i1", { workerId: "w1" })]);
  return { jobId, token: String(lease?.token) };
}

const TAKING = { reason: "the machine burns", delayMs: 0, maxDeliveries: 20 };

const APPLY: [Move, string, (db: Database, s: Subject) => Promise<unknown>][] = [
  ["claim", "claim", (db) => claimAs(db, "w2")],
  ["claim", "claim for a seat", async (db) => claimSeats(db, [await givenSeat(db, "i2")])],
  ["heartbeat", "heartbeat", (db, s) => heartbeat(db.reserved, [{ ...s, progress: null }], 60_000)],
  ["report", "DONE", (db, s) => reportAll(db, done(s))],
  ["report", "FAILED", (db, s) => reportAll(db, failed(s))],
  ["report", "FAILED for good", (db, s) => reportAll(db, failed(s, { retryable: false }))],
  ["legacyReport", "legacy DONE", (db, s) => legacyReport(db.reserved, legacyDone(s.jobId, "w1"), DEFAULT_BACKOFF)],
  ["legacyReport", "legacy FAILED", (db, s) => legacyReport(db.reserved, legacyFailed(s.jobId, "w1"), DEFAULT_BACKOFF)],
  ["release", "release", (db, s) => release(db.reserved, [s], 20)],
  ["release", "release, once too often", (db, s) => release(db.reserved, [s], 1)],
  ["releaseJobs", "release by an operator", (db, s) => releaseJobs(db.sql, [s.jobId], TAKING)],
  [
    "releaseJobs",
    "release by an operator, once too often",
    (db, s) => releaseJobs(db.sql, [s.jobId], { ...TAKING, maxDeliveries: 1 }),
  ],
  ["reclaim", "reclaim", (db) => reclaim(db.sql, 10)],
  ["reclaim", "reclaim of what is not held", (db) => reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }])],
  ["cancel", "cancel", (db, s) => cancel(db.sql, [s.jobId], "", 60_000)],
  ["retry", "retry", (db, s) => retry(db.sql, [s.jobId])],
  ["update", "update", (db, s) => update(db.sql, [s.jobId], -7)],
];

/** What an event tells of a move that led to this state. */
function kindOf(move: Move, to: Status): string {
  if (to === "RUNNING") return "started";
  if (to !== "PENDING") return to.toLowerCase();
  const kinds: Partial<Record<Move, string>> = {
    release: "released",
    releaseJobs: "released",
    reclaim: "reclaimed",
    retry: "retried",
  };
  return kinds[move] ?? "retrying";
}

/** All of the job's, numbered without a gap. Not of Django's reclaim, by which one of the states is entered. */
async function eventsOf(db: Database, jobId: string) {
  const events = await db.sql`SELECT kind, row_number() OVER (ORDER BY seq)::int AS seq FROM ai_event
    WHERE job_id = ${jobId} ORDER BY seq`;
  const [job] = await db.sql`SELECT event_seq::int AS seq, (SELECT max(seq)::int FROM ai_event e
    WHERE e.job_id = j.job_id) AS newest FROM ai_job j WHERE job_id = ${jobId}`;
  expect(Number(job?.["seq"]) - Number(job?.["newest"])).toBeLessThanOrEqual(1);
  return events.map(({ kind, seq }) => ({ kind, seq }));
}

test("every move on every state ends where the table says, and the small tables follow", async ({ db }) => {
  const seen = new Set<string>();
  for (const [state, enter] of Object.entries(STATES)) {
    for (const [move, name, apply] of APPLY) {
      await truncateAll(db);
      const subject = await enter(db);
      const from = await statusOf(db, subject.jobId);
      expect(state.startsWith(from)).toBe(true);
      const before = await eventsOf(db, subject.jobId);
      await apply(db, subject);
      const to = await statusOf(db, subject.jobId);
      const event = { kind: kindOf(move, to), seq: before.length + 1 };
      expect(await eventsOf(db, subject.jobId), `${name} on ${state}`).toEqual(
        from === to ? before : [...before, event],
      );
      expect(isLegal(move, from, to), `${name} on ${state} ended in ${to}`).toBe(true);
      if (from !== to) seen.add(`${move} ${from} ${to}`);
      await expectNoDrift(db);
    }
  }
  const listed = Object.entries(MOVES).flatMap(([move, table]) =>
    STATUSES.flatMap((from) =>
      ((table as Partial<Record<Status, readonly Status[]>>)[from] ?? [])
        .filter((to) => to !== from)
        .map((to) => `${move} ${from} ${to}`),
    ),
  );
  // Nor does the table list what no move does.
  expect(listed.filter((entry) => !seen.has(entry))).toEqual([]);
});

/** Everybody at once on a few hundred jobs: what holds one move at a time must hold when they meet. */
import { expect } from "vitest";
import type { BrokerMoves } from "../../src/dispatch/moves.ts";
import type { Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { retrying } from "../../src/store/retry-statement.ts";
import type { Lease, Report } from "../../src/store/rows.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { django } from "../support/django.ts";
import { done, expectNoDrift, failed, legacyDone, legacyFailed, newJob } from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";
import { until } from "../support/until.ts";

const JOBS = 150;
const MAX_ATTEMPTS = 3;
const OPERATOR_CALLS = 30;
const LEASE_MS = 150;
const BROKER = { leaseMs: LEASE_MS, shimLeaseMs: LEASE_MS, cancelGraceMs: 50, pollMs: 50, maxDeliveries: 10 };

interface Storm {
  ids: string[];
  /** Leases that their worker has left, for late reports. */
  left: Lease[];
  /** How often a DONE was taken, of each job. */
  taken: Map<string, number>;
  over: boolean;
}

const any = <T>(list: T[]): T | undefined => list[Math.floor(Math.random() * list.length)];
const some = <T>(list: T[], count: number): T[] => Array.from({ length: count }, () => any(list) as T).filter(Boolean);
const took = ({ taken }: Storm, jobId: string) => void taken.set(jobId, (taken.get(jobId) ?? 0) + 1);

async function reportTo(storm: Storm, moves: BrokerMoves, workerId: string, reports: Report[]): Promise<void> {
  const answers = await moves.report(workerId, reports);
  answers.forEach(({ jobId, status }, at) => {
    if (status === "ACCEPTED" && reports[at]?.status === "DONE") took(storm, jobId);
  });
}

/** Takes a few jobs, beats, and then reports some, gives some back and leaves some lying. */
async function worker(storm: Storm, moves: BrokerMoves, workerId: string, types: string[]): Promise<void> {
  const stay = new AbortController().signal;
  for (let n = 0; !storm.over; n++) {
    const leases = await moves.claim({ workerId, types, maxJobs: 1 + (n % 5), waitMs: 20, requestId: null }, stay);
    await moves.heartbeat(
      workerId,
      leases.map((lease) => ({ ...lease, progress: null })),
    );
    const lots = leases.map((lease) => ({ lease, lot: Math.random() }));
    const of = (from: number, to: number) =>
      lots.filter(({ lot }) => lot >= from && lot < to).map(({ lease }) => lease);
    const reports = [...of(0, 0.6).map((l) => done(l)), ...of(0.6, 0.75).map((l) => failed(l, { retryDelayMs: 0 }))];
    // Not in the order of the claim, so that batches of one another's jobs cross.
    await reportTo(storm, moves, workerId, reports.reverse());
    await moves.release(workerId, of(0.75, 0.85), "not mine");
    storm.left.push(...of(0.85, 1));
  }
}

/** Reports what was left lying, in whatever state the job is by now, and its own reports again. */
async function latecomer(storm: Storm, moves: BrokerMoves): Promise<void> {
  while (!storm.over) {
    const leases = some(storm.left, 4);
    await reportTo(
      storm,
      moves,
      "late",
      leases.map((lease) => (Math.random() < 0.5 ? done(lease) : failed(lease))),
    );
    await moves.reclaim();
  }
}

async function legacyWorker(storm: Storm, moves: BrokerMoves, workerId: string): Promise<void> {
  while (!storm.over) {
    const lease = await moves.legacyNext(workerId);
    // A job of its own, or any: it may be waiting, or another's.
    const jobId = Math.random() < 0.8 ? lease?.jobId : any(storm.ids);
    if (jobId === undefined) continue;
    const item = Math.random() < 0.8 ? legacyDone(jobId, workerId) : legacyFailed(jobId, workerId);
    if ((await moves.legacyReport(item)) === "done") took(storm, jobId);
  }
}

async function operator(storm: Storm, moves: BrokerMoves): Promise<void> {
  for (let n = 0; n < OPERATOR_CALLS; n++) {
    await moves.cancel(some(storm.ids, 3), "enough");
    await moves.retry(some(storm.ids, 6));
  }
}

/** Claims with the ORM's own statements, and leaves the job to be reclaimed. */
async function djangoApp(storm: Storm, sql: Sql): Promise<void> {
  while (!storm.over) {
    const jobId = await retrying(() => django.claim(sql, "old-worker", LEASE_MS));
    if (jobId === null) continue;
    await retrying(() => django.heartbeat(sql, jobId, "old-worker"));
    await retrying(() => django.adminSave(sql, jobId));
  }
}

async function producer(storm: Storm, moves: BrokerMoves, sql: Sql): Promise<void> {
  for (let n = 0; n < JOBS; n += 10) {
    const jobs = Array.from({ length: 9 }, (_, at) =>
      newJob({ type: at % 2 ? "ocr" : "grade", priority: at % 3, maxAttempts: MAX_ATTEMPTS }),
    );
    storm.ids.push(...(await moves.dispatch(jobs)).map((stored) => stored.jobId));
    // Not Django's dispatch, whose second statement opens a job again that has ended in between.
    await sql`INSERT INTO ai_job (job_id, job_type, max_attempts) VALUES (${`sql-${n}`}, 'ocr', ${MAX_ATTEMPTS})`;
    storm.ids.push(`sql-${n}`);
  }
}

test("in a storm no job is lost, none ends twice, and the small tables stay true", async ({ db, url }) => {
  const elsewhere = openTestDatabase(url);
  const storm: Storm = { ids: [], left: [], taken: new Map(), over: false };
  try {
    await using one = startMoves(db, BROKER);
    await using two = startMoves(elsewhere, BROKER);
    const limited = [producer(storm, one.moves, db.sql), operator(storm, one.moves), operator(storm, two.moves)];
    const others = [
      worker(storm, one.moves, "w1", []),
      worker(storm, two.moves, "w2", ["ocr"]),
      worker(storm, two.moves, "w3", []),
      latecomer(storm, one.moves),
      legacyWorker(storm, one.moves, "ai-worker"),
      legacyWorker(storm, two.moves, "ai-worker-2"),
      djangoApp(storm, elsewhere.sql),
    ];
    const ended = (async () => {
      await Promise.all(limited);
      await until("every job has ended", async () => {
        const [row] = await db.reserved`SELECT count(*)::int AS n FROM ai_job WHERE status IN ('PENDING', 'RUNNING')`;
        return row?.["n"] === 0;
      });
    })();
    // A worker that fails ends the test at once, with its error.
    await Promise.race([ended, Promise.all(others)]).finally(() => {
      storm.over = true;
    });
    await Promise.all([...limited, ...others]);
  } finally {
    await elsewhere.close();
  }
  await expectNoDrift(db);
  expect(await findDrift(db.sql)).toEqual({ drifts: [], complete: true });
  expect([...storm.taken].filter(([, times]) => times > 1)).toEqual([]);
  const [sum] = await db.sql`
    SELECT count(*)::int AS jobs, count(*) FILTER (WHERE status IN ('PENDING', 'RUNNING'))::int AS open,
      count(*) FILTER (WHERE attempt_count NOT BETWEEN 0 AND max_attempts)::int AS out_of_bounds,
      count(*) FILTER (WHERE (status = 'DONE') <> (j.job_id = ANY(${[...storm.taken.keys()]}::text[])))::int AS wrong,
      count(*) FILTER (WHERE status = 'DONE' AND r.id IS NULL OR status = 'CANCELLED' AND r.id IS NOT NULL)::int AS bare
    FROM ai_job j LEFT JOIN ai_result r ON r.job_id = j.id`;
  expect(sum).toEqual({ jobs: JOBS, open: 0, out_of_bounds: 0, wrong: 0, bare: 0 });
}, 60_000);

/**
 * A broker keeps one plan for each statement, made when its queue was empty and analyzed so. Such a plan must still go
 * by index when thousands of jobs are there: each move is met here with its oldest possible plan, inside a rolled back
 * transaction, and the rows that it read are counted.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { fill } from "../../bench/backlog.ts";
import { rolledBack } from "../../bench/plan.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import { claim, claimForSeats } from "../../src/store/claim.ts";
import { type Database, HOT, openPool, type Sql } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { due } from "../../src/store/due.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { leaseVerdicts } from "../../src/store/lease-verdicts.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim, reclaimUnheld } from "../../src/store/reclaim.ts";
import { release, releaseJobs } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import { endSessions, openSessions, resizeSessions, staleSessions } from "../../src/store/sessions.ts";
import { update } from "../../src/store/update.ts";
import { type FreshDatabase, freshDatabase, openTestDatabase } from "../support/db.ts";
import { done, EXPIRED, failed, givenSeatLease, legacyDone, newJob, opening, reportAll } from "../support/jobs.ts";

const ROWS = 20_000;
const SESSIONS = 5_000;
/** Of all tables together; each move here is of one job. */
const MAX_ROWS_READ = 50;

/** A lease that was got through a stream. */
interface Target {
  jobId: string;
  token: string;
  instanceId: string;
  sessionId: string;
}

interface Step {
  name: string;
  run: (sql: Sql, target: Target) => Promise<unknown>;
  /** The lease that it is run on; by default one that is held. */
  leaseMs?: number;
  /** Ends the target before the move. */
  ended?: boolean;
  /** It looks through all leases, which are as few as the fleet is small. */
  scansLeases?: boolean;
}

const noProgress = { progress: null };
const claimOf = {
  workerId: "w2",
  limit: 1,
  leaseMs: 60_000,
  maxBytes: 3_000_000,
  token: "t",
  requestId: null,
};

const MOVES: Step[] = [
  {
    name: "claim of any type",
    run: (sql) => claim(sql, { ...claimOf, types: [] }),
  },
  {
    name: "claim of one type",
    run: (sql) => claim(sql, { ...claimOf, types: ["ocr"] }),
  },
  {
    name: "claim for seats",
    run: (sql, { instanceId, sessionId }) =>
      claimForSeats(sql, { ...claimOf, types: [], seats: [{ instanceId, sessionId, workerId: "w2" }] }),
  },
  {
    name: "heartbeat",
    run: (sql, target) => heartbeat(sql, [{ ...target, ...noProgress }], 60_000),
  },
  {
    name: "report",
    run: (sql, target) => report(sql, [done(target)], DEFAULT_BACKOFF),
  },
  { name: "release", run: (sql, target) => release(sql, [target], 20) },
  {
    name: "reclaim",
    run: (sql) => reclaim(sql, 10),
    leaseMs: EXPIRED,
    scansLeases: true,
  },
  {
    name: "reclaim of what is not held",
    run: (sql, { instanceId, sessionId }) => reclaimUnheld(sql, [{ instanceId, sessionId, held: ["job"] }]),
  },
  { name: "look at leases", run: (sql, target) => leaseVerdicts(sql, [target]) },
  { name: "opening of a session", run: (sql, { instanceId }) => openSessions(sql, "b1", [opening(instanceId)]) },
  { name: "resizing of a session", run: (sql, target) => resizeSessions(sql, [{ ...target, maxInFlight: 1 }]) },
  { name: "end of a session", run: (sql, target) => endSessions(sql, [target]) },
  { name: "look at sessions", run: (sql, target) => staleSessions(sql, [target]) },
  { name: "cancel", run: (sql, { jobId }) => cancel(sql, [jobId], "", 30_000) },
  { name: "retry", run: (sql, { jobId }) => retry(sql, [jobId]), ended: true },
  {
    name: "legacy report",
    run: (sql, { jobId }) => legacyReport(sql, legacyDone(jobId), DEFAULT_BACKOFF),
  },
  {
    name: "dispatch",
    run: (sql) => dispatch(sql, [newJob({ idempotencyKey: "k1" })]),
  },
  {
    name: "dispatch to a seat of one type",
    run: (sql, seat) =>
      dispatch(sql, [newJob()], undefined, { ...claimOf, types: ["ocr"], seats: [{ ...seat, workerId: "w2" }] }),
  },
  {
    name: "dispatch to a seat of any type",
    run: (sql, seat) =>
      dispatch(sql, [newJob()], undefined, { ...claimOf, types: [], seats: [{ ...seat, workerId: "w2" }] }),
  },
  {
    name: "release by an operator",
    run: (sql, { jobId }) => releaseJobs(sql, [jobId], { reason: "", delayMs: 0, maxDeliveries: 20 }),
  },
  {
    name: "update",
    run: async (sql) => {
      const job = newJob();
      await dispatch(sql, [job]);
      await update(sql, [job.id], 5);
    },
  },
  { name: "look at what is due", run: (sql) => due(sql, 1) },
];

let database: FreshDatabase;
let db: Database;
/** The broker's connection, whose plans are old. */
let old: Sql;

beforeAll(async () => {
  database = await freshDatabase();
  db = openTestDatabase(database.url);
  old = openPool({ url: database.url, statementTimeoutMs: 20_000, lockTimeoutMs: 5_000 }, 1, HOT);
  for (const table of ["ai_job", "ai_ready", "ai_lease", "ai_result", "ai_type_pause", "ai_session"]) {
    // Else new statistics would come at some moment, and with them new plans.
    await old.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
  await old`ANALYZE`;
  const unknown = { jobId: "unknown", token: "unknown", instanceId: "unknown", sessionId: "unknown" };
  for (const { run } of MOVES) await rolledBack(old, () => run(old, unknown));
  await fill(db.sql, {
    rows: ROWS,
    types: ["tag"],
    firstDueSeconds: -3_600,
    stepSeconds: 0,
  });
  await db.sql`
    WITH job AS (UPDATE ai_job SET status = 'RUNNING', locked_by = 'w9', lease_token = 'x' || id, move = move + 1,
      lease_expires_at = now() + interval '1 hour' WHERE id % 2 = 0 RETURNING id, lease_expires_at),
    gone AS (DELETE FROM ai_ready WHERE id % 2 = 0)
    INSERT INTO ai_lease (id, expires_at, worker_id, instance_id)
    SELECT id, lease_expires_at, 'w9', 'i' || id % ${SESSIONS} FROM job`;
  await db.sql`INSERT INTO ai_session (instance_id, session_id, epoch, worker_id, broker_id, types, max_in_flight)
    SELECT 'i' || n, 's' || n, 1, 'w9', 'b1', '{}', 10 FROM generate_series(1, ${SESSIONS}) n`;
});

afterAll(async () => {
  await old.end();
  await db.close();
  await database.drop();
});

test.each(MOVES)("$name reads few rows with a plan from the time of an empty queue", async (move) => {
  const { run, leaseMs, ended, scansLeases } = move;
  await dispatch(db.sql, [newJob()]);
  const target = await givenSeatLease(db, "target", {
    types: ["ocr"],
    ...(leaseMs === undefined ? {} : { leaseMs }),
  });
  if (ended) await reportAll(db, failed(target, { retryable: false }));
  const read = await rolledBack(old, async () => {
    const tables = ["ai_job", "ai_ready", "ai_result", "ai_session", ...(scansLeases ? [] : ["ai_lease"])];
    const before = await rowsRead(old, tables);
    await run(old, target);
    return (await rowsRead(old, tables)) - before;
  });
  expect(read).toBeLessThan(MAX_ROWS_READ);
  await cancel(db.sql, [target.jobId], "", 0);
});

test("the count sees a statement that reads a whole table", async () => {
  const read = await rolledBack(old, async () => {
    const before = await rowsRead(old, ["ai_job"]);
    await old`SELECT count(*) FROM ai_job WHERE payload IS NOT NULL`;
    return (await rowsRead(old, ["ai_job"])) - before;
  });
  expect(read).toBeGreaterThanOrEqual(ROWS);
});

/** Rows that this session's transaction has read so far, by index or not. */
async function rowsRead(sql: Sql, tables: string[]): Promise<number> {
  const [row] = await sql<{ read: number }[]>`
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS read FROM pg_stat_xact_user_tables
    WHERE relname = ANY (${tables}::text[])`;
  return row?.read ?? 0;
}

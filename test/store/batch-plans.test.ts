/**
 * A batch costs what its items cost, each once: with a plan from the time of an empty queue a join of two batches compares
 * each item of the one with each of the other, and a thousand heartbeats took 1.8 s. Counted here is what each node of
 * each statement's plan has looked at, those rows included that it threw away.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { fill } from "../../bench/backlog.ts";
import { rolledBack } from "../../bench/plan.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import { claim, claimForSeats } from "../../src/store/claim.ts";
import { type Database, HOT, openPool, type Sql } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { leaseVerdicts } from "../../src/store/lease-verdicts.ts";
import { reclaim, reclaimUnheld } from "../../src/store/reclaim.ts";
import { release, releaseJobs } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import type { SeatLease } from "../../src/store/rows.ts";
import { endSessions, openSessions, resizeSessions, staleSessions } from "../../src/store/sessions.ts";
import { update } from "../../src/store/update.ts";
import { type FreshDatabase, freshDatabase, openTestDatabase } from "../support/db.ts";
import { claimSeats, done, failed, givenSeat, newJob, opening } from "../support/jobs.ts";

const ITEMS = 300;
/** Plans have some 30 nodes that each see an item once or twice; a join of two batches sees each 300 times. */
const MOST_LOOKS_PER_ITEM = 60;

const options = { types: [], leaseMs: 60_000, maxBytes: 1e9, token: "t" };
const ids = (leases: SeatLease[]) => leases.map(({ jobId }) => jobId);
const JOBS = Array.from({ length: ITEMS }, (_, n) => newJob({ idempotencyKey: `k${n}` }));

const MOVES: Record<string, (sql: Sql, leases: SeatLease[]) => Promise<unknown>> = {
  dispatch: (sql) => dispatch(sql, JOBS),
  claim: (sql) => claim(sql, { ...options, workerId: "w1", limit: ITEMS, requestId: null }),
  "claim for seats": (sql, seats) => claimForSeats(sql, { ...options, seats }),
  heartbeat: (sql, leases) =>
    heartbeat(
      sql,
      leases.map((lease) => ({ ...lease, progress: { percent: 1, note: null } })),
      60_000,
    ),
  report: (sql, leases) =>
    report(
      sql,
      leases.map((lease) => done(lease)),
      DEFAULT_BACKOFF,
    ),
  "report of failures": (sql, leases) =>
    report(
      sql,
      leases.map((lease) => failed(lease)),
      DEFAULT_BACKOFF,
    ),
  release: (sql, leases) => release(sql, leases, 20),
  "release by an operator": (sql, leases) =>
    releaseJobs(sql, ids(leases), { reason: "", delayMs: 60_000, maxDeliveries: 20 }),
  update: async (sql, leases) => {
    await release(sql, leases, 20);
    await update(sql, ids(leases), 5);
  },
  reclaim: async (sql, leases) => {
    await cancel(sql, ids(leases), "", -1_000);
    await reclaim(sql, ITEMS);
  },
  "reclaim of what is not held": (sql, leases) =>
    reclaimUnheld(
      sql,
      leases.map(({ instanceId, sessionId, jobId }, n) => ({ instanceId, sessionId, held: n % 2 ? [jobId] : [] })),
    ),
  cancel: (sql, leases) => cancel(sql, ids(leases), "", 60_000),
  retry: async (sql, leases) => {
    await report(
      sql,
      leases.map((lease) => failed(lease, { retryable: false })),
      DEFAULT_BACKOFF,
    );
    await retry(sql, ids(leases));
  },
  "look at leases": (sql, leases) => leaseVerdicts(sql, leases),
  "opening of sessions": (sql, leases) =>
    openSessions(
      sql,
      "b1",
      leases.map((lease) => opening(lease.instanceId)),
    ),
  "resizing of sessions": (sql, leases) =>
    resizeSessions(
      sql,
      leases.map((lease) => ({ ...lease, maxInFlight: 2 })),
    ),
  "end of sessions": (sql, leases) => endSessions(sql, leases),
  "look at sessions": (sql, leases) => staleSessions(sql, leases),
};

let database: FreshDatabase;
let db: Database;
/** A broker's connection, whose plans are from the time of an empty queue, and which tells them. */
let old: Sql;
let looks = 0;
let leases: SeatLease[];

beforeAll(async () => {
  database = await freshDatabase();
  db = openTestDatabase(database.url);
  const settings = { ...HOT, client_min_messages: "log" };
  const onNotice = (text: string) => {
    looks += looksOf(text);
  };
  const pool = { url: database.url, statementTimeoutMs: 20_000, lockTimeoutMs: 5_000 };
  old = openPool({ ...pool, onNotice }, 1, settings);
  for (const table of ["ai_job", "ai_ready", "ai_lease", "ai_result", "ai_session"]) {
    // Else new statistics would come at some moment, and with them new plans.
    await old.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
  await old`ANALYZE`;
  await old`LOAD 'auto_explain'`;
  await old`SET auto_explain.log_analyze = on`;
  await old`SET auto_explain.log_timing = off`;
  await old`SET auto_explain.log_format = json`;
  const nobody = [{ jobId: "none", token: "t", instanceId: "none", sessionId: "none", workerId: "none" } as SeatLease];
  for (const run of Object.values(MOVES)) await rolledBack(old, () => run(old, nobody));
  await fill(db.sql, { rows: 2 * ITEMS, types: ["ocr"], firstDueSeconds: -86_400 * 2, stepSeconds: 0 });
  const seats = await Promise.all(Array.from({ length: ITEMS }, (_, n) => givenSeat(db, `i${n}`)));
  leases = await claimSeats(db, seats, { maxBytes: 1e9 });
});

afterAll(async () => {
  await old.end();
  await db.close();
  await database.drop();
});

test.each(Object.entries(MOVES))("a batch of %s looks at each item a few times", async (_, run) => {
  expect(leases).toHaveLength(ITEMS);
  expect((await looksAt(() => run(old, leases))) / ITEMS).toBeLessThan(MOST_LOOKS_PER_ITEM);
});

test("a repeated dispatch looks at each item a few times, too", async () => {
  const count = await rolledBack(old, async () => {
    await dispatch(old, JOBS);
    return looksAt(() => dispatch(old, JOBS), false);
  });
  expect(count / ITEMS).toBeLessThan(MOST_LOOKS_PER_ITEM);
});

test("the count sees two batches that are compared item by item", async () => {
  const numbers = Array.from({ length: ITEMS }, (_, n) => String(n));
  const count = await looksAt(
    () => old`WITH a AS MATERIALIZED (SELECT unnest(${numbers}::text[]) AS n),
      b AS MATERIALIZED (SELECT unnest(${numbers}::text[]) AS n)
      SELECT count(*) FROM a JOIN b ON a.n = b.n`,
  );
  expect(count / ITEMS).toBeGreaterThan(MOST_LOOKS_PER_ITEM);
});

async function looksAt(run: () => PromiseLike<unknown>, rollback = true): Promise<number> {
  const counted = async () => {
    await old`SET auto_explain.log_min_duration = 0`;
    looks = 0;
    await run();
    // The plan of a SELECT comes behind its rows.
    await old`SET auto_explain.log_min_duration = -1`;
    expect(looks).toBeGreaterThan(0);
    return looks;
  };
  return rollback ? rolledBack(old, counted) : counted();
}

interface PlanNode {
  "Actual Rows"?: number;
  "Actual Loops"?: number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Join Filter"?: number;
  Plans?: PlanNode[];
}

/** Rows that all nodes of a plan gave or threw away. */
function looksOf(message: string): number {
  const json = /\{[\s\S]*\}/.exec(message)?.[0];
  return json === undefined ? 0 : looksBelow((JSON.parse(json) as { Plan: PlanNode }).Plan);
}

function looksBelow(node: PlanNode): number {
  const rows = (node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0);
  const own = (rows + (node["Rows Removed by Join Filter"] ?? 0)) * (node["Actual Loops"] ?? 0);
  return own + (node.Plans ?? []).reduce((sum, below) => sum + looksBelow(below), 0);
}

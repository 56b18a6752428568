import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { findDrift, findReopened, repairDrift, type SweepCursor, sweep } from "../../src/store/drift.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimAs,
  claimSeats,
  done,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  givenSeat,
  reportAll,
  statusOf,
} from "../support/jobs.ts";
import { until } from "../support/until.ts";

/** Writes past the triggers, as a restore of one table would. */
async function behindTheTriggers(db: Database, statements: string): Promise<void> {
  await db.sql.begin((tx) => tx.unsafe(`SET LOCAL session_replication_role = replica; ${statements}`));
}

async function sweepAll(db: Database, batch: number): Promise<{ repaired: number; skipped: number; batches: number }> {
  const sum = { repaired: 0, skipped: 0, batches: 0 };
  let from: SweepCursor | null = null;
  do {
    const swept = await sweep(db.sql, { from, batch });
    sum.repaired += swept.repaired;
    sum.skipped += swept.skipped;
    sum.batches++;
    from = swept.next;
  } while (from !== null);
  return sum;
}

/** Nine jobs: three of each of PENDING, RUNNING, DONE; then every kind of drift, once. */
async function givenDrift(db: Database): Promise<void> {
  for (let n = 0; n < 9; n++) await givenJob(db, { id: `j${n}`, type: n < 3 ? "waiting" : "other" });
  await claimSeats(db, Array(6).fill(await givenSeat(db, "i1")), { types: ["other"] });
  const finished = await db.sql`SELECT job_id, lease_token FROM ai_job WHERE job_id >= 'j6'`;
  await reportAll(
    db,
    ...finished.map((row) => done({ jobId: String(row["job_id"]), token: String(row["lease_token"]) })),
  );
  await expectNoDrift(db);
  await behindTheTriggers(
    db,
    `DELETE FROM ai_ready r USING ai_job j WHERE j.id = r.id AND j.job_id = 'j0';
     UPDATE ai_job SET priority = 7 WHERE job_id = 'j1';
     DELETE FROM ai_lease l USING ai_job j WHERE j.id = l.id AND j.job_id = 'j3';
     UPDATE ai_job SET status = 'PENDING' WHERE job_id = 'j4';
     INSERT INTO ai_lease (id) SELECT id FROM ai_job WHERE job_id = 'j6';
     INSERT INTO ai_ready SELECT job_type, priority, next_run_at, id, 1 FROM ai_job WHERE job_id = 'j7';
     INSERT INTO ai_ready VALUES ('gone', 0, now(), 999999, 1);
     INSERT INTO ai_lease VALUES (999998)`,
  );
}

const KINDS = [
  "not_leased j3",
  "not_ready j0",
  "not_ready j1",
  "not_ready j4",
  "wrong_lease j4",
  "wrong_lease j6",
  "wrong_lease none",
  "wrong_ready j1",
  "wrong_ready j7",
  "wrong_ready none",
];

async function named(db: Database, drifts: { kind: string; id: number }[]): Promise<string[]> {
  const rows = await db.sql`SELECT id::int, job_id FROM ai_job`;
  const ids = new Map(rows.map((row) => [row["id"], row["job_id"]]));
  return drifts.map(({ kind, id }) => `${kind} ${ids.get(id) ?? "none"}`).sort();
}

test("each kind of drift is found and, on request, mended", async ({ db }) => {
  await givenDrift(db);
  const { drifts, complete } = await findDrift(db.sql);
  expect(complete).toBe(true);
  expect(await named(db, drifts)).toEqual(KINDS);
  expect(await repairDrift(db.sql, drifts)).toBe(drifts.length);
  await expectNoDrift(db);
  expect(await findDrift(db.sql)).toEqual({ drifts: [], complete: true });
});

test("a report of drifts ends at its limit and says that there may be more", async ({ db }) => {
  await givenDrift(db);
  expect(await findDrift(db.sql, { limit: 2 })).toMatchObject({ complete: false, drifts: { length: 2 } });
});

for (const batch of [1, 2, 1000]) {
  test(`a sweep in batches of ${batch} mends everything and then finds nothing`, async ({ db }) => {
    await givenDrift(db);
    // j4's two are mended at once.
    expect(await sweepAll(db, batch)).toMatchObject({ repaired: KINDS.length - 1, skipped: 0 });
    await expectNoDrift(db);
    expect(await sweepAll(db, batch)).toMatchObject({ repaired: 0, skipped: 0 });
  });
}

test("a job that somebody else has locked is passed over and mended by the next sweep", async ({ db }) => {
  const jobId = await givenJob(db);
  await behindTheTriggers(db, "DELETE FROM ai_ready");
  const { promise: hold, resolve: release } = Promise.withResolvers<void>();
  const { promise: held, resolve: onHeld } = Promise.withResolvers<void>();
  const holder = db.reserved.begin(async (tx) => {
    await tx`SELECT FROM ai_job WHERE job_id = ${jobId} FOR UPDATE`;
    onHeld();
    await hold;
  });
  await held;
  expect(await sweepAll(db, 1000)).toMatchObject({ repaired: 0, skipped: 1 });
  release();
  await holder;
  expect(await sweepAll(db, 1000)).toMatchObject({ repaired: 1, skipped: 0 });
  await expectNoDrift(db);
});

test("what was mended meanwhile stays as it is: a drift that was found is looked at again under the lock", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  await behindTheTriggers(db, "DELETE FROM ai_ready");
  const { drifts } = await findDrift(db.sql);
  expect(drifts).toMatchObject([{ kind: "not_ready" }]);
  await django.claim(db.sql, "old-worker");
  await repairDrift(db.sql, drifts);
  expect(await statusOf(db, jobId)).toBe("RUNNING");
  await expectNoDrift(db);
});

test("a sweep beside live claims and reports neither disturbs them nor leaves anything wrong", async ({ db }) => {
  const jobs = 200;
  for (let n = 0; n < jobs; n++) await givenJob(db);
  await behindTheTriggers(db, "DELETE FROM ai_ready WHERE id % 3 = 0");
  let finished = 0;
  const worker = async (name: string) => {
    while (finished < jobs) {
      const leases = await claimAs(db, name, { limit: 7 });
      if (leases.length === 0) continue;
      const statuses = await reportAll(db, ...leases.map((lease) => done(lease)));
      expect(new Set(statuses)).toEqual(new Set(["ACCEPTED"]));
      finished += leases.length;
    }
  };
  const sweeper = async () => {
    while (finished < jobs) await sweepAll(db, 20);
  };
  await Promise.all([worker("w1"), worker("w2"), sweeper()]);
  await expectNoDrift(db);
  expect(finished).toBe(jobs);
});

test("a sweep reads by index: no look at a batch scans a whole table", async ({ db }) => {
  await db.sql`INSERT INTO ai_job (job_id, job_type, status) SELECT 'j' || n, 'ocr', 'DONE' FROM generate_series(1, 3000) n`;
  await db.sql`INSERT INTO ai_job (job_id, job_type) SELECT 'p' || n, 'ocr' FROM generate_series(1, 3000) n`;
  const scans = async () => {
    await db.sql`SELECT pg_stat_clear_snapshot()`;
    const [row] = await db.sql`SELECT sum(seq_tup_read)::int AS rows FROM pg_stat_user_tables
      WHERE relname IN ('ai_job', 'ai_ready', 'ai_lease')`;
    return Number(row?.["rows"]);
  };
  await until("the inserts' statistics are written", async () => {
    const [row] = await db.sql`SELECT n_tup_ins::int AS n FROM pg_stat_user_tables WHERE relname = 'ai_job'`;
    return Number(row?.["n"]) >= 6000;
  });
  const before = await scans();
  expect(await sweepAll(db, 500)).toMatchObject({ repaired: 0, batches: 12 + 1 + 1 + 6 + 1 });
  expect(await scans()).toBe(before);
});

test("jobs that Django opened again after an end are reported, its own retries are not", async ({ db }) => {
  for (const id of ["reopened", "retried", "open"]) await django.dispatch(db.sql, id);
  for (const _ of [1, 2, 3]) await django.claim(db.sql, "old-worker");
  await django.done(db.sql, "reopened");
  await django.publish(db.sql, "reopened");
  await db.sql`INSERT INTO ai_result (job_id) SELECT id FROM ai_job WHERE job_id = 'retried'`;
  await django.markFailed(db.sql, "retried");

  const ours = await givenJob(db, { type: "ours" });
  await reportAll(db, done(await givenLease(db, "w1", { types: ["ours"] })));
  await django.publish(db.sql, ours);
  const failing = await givenJob(db, { type: "failing" });
  await reportAll(db, failed(await givenLease(db, "w1", { types: ["failing"] })));
  expect(await statusOf(db, failing)).toBe("PENDING");

  expect(await findReopened(db.sql)).toEqual(["reopened", ours]);
});

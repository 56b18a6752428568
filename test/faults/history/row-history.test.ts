/** The triggers on a real database: every version is kept, what the product keeps stays true, and the check agrees. */
import fc from "fast-check";
import { expect } from "vitest";
import type { Database } from "../../../src/store/db.ts";
import { prune } from "../../../src/store/prune.ts";
import { reclaim, reclaimUnheld } from "../../../src/store/reclaim.ts";
import { test } from "../../support/db.ts";
import { django } from "../../support/django.ts";
import { expectNoDrift, expire, givenJob, givenLease, givenSeat, makeDue } from "../../support/jobs.ts";
import { checkHistory } from "./check.ts";
import { installRowHistory, readFinal, readRowHistory, readTorn } from "./row-history.ts";
import type { JobVersion } from "./rows.ts";
import { SETTINGS, StoreRun } from "./store-run.ts";
import { verdictText } from "./verdict-text.ts";
import type { Options } from "./violation.ts";

async function judged(db: Database, run: StoreRun, more: Partial<Options> = {}): Promise<string> {
  const rows = { versions: await readRowHistory(db.sql), final: await readFinal(db.sql) };
  const verdict = checkHistory(run.records, rows, { ...SETTINGS, drained: false, ...more });
  await expectNoDrift(db);
  return verdict.violations.length === 0 ? "" : verdictText(verdict);
}

test("each version of a job is kept with its transaction, beside its result and its events", async ({ db }) => {
  await installRowHistory(db.sql);
  const run = new StoreRun(db);
  await run.dispatch("a", { key: "k" });
  const [lease] = await run.claim("w1");
  await run.heartbeat(lease!);
  await run.report(lease!, "DONE");
  const rows = await readRowHistory(db.sql);
  const kinds = [...rows.slice(0, 5), ...rows.slice(5).sort((a, b) => (a.table < b.table ? -1 : 1))];
  expect(
    kinds.map(({ table, change, job, ...row }) => [
      table,
      change,
      job,
      "status" in row ? `${row.was} ${row.status}` : "",
    ]),
  ).toEqual([
    ["job", "INSERT", "a", "null PENDING"],
    ["event", "INSERT", "a", ""],
    ["job", "UPDATE", "a", "PENDING RUNNING"],
    ["event", "INSERT", "a", ""],
    ["job", "UPDATE", "a", "RUNNING RUNNING"],
    // Of one statement, in no order that is promised.
    ["event", "INSERT", "a", ""],
    ["job", "UPDATE", "a", "RUNNING DONE"],
    ["result", "INSERT", "a", ""],
  ]);
  const ended = rows.filter((row): row is JobVersion => row.table === "job").at(-1);
  expect(ended).toMatchObject({
    settledToken: lease!.token,
    settledAs: "DONE",
    attempt: 1,
    worker: "w1",
    key: "k",
    eventSeq: 3,
  });
  expect(new Set(rows.slice(5).map(({ tx }) => tx)).size).toBe(1);
  // Of the same moment as far as their precisions go.
  expect(Math.abs(ended!.now - Date.now() * 1_000)).toBeLessThan(60_000_000);
  expect(await judged(db, run, { drained: true })).toBe("");
});

test("rows that do not agree are seen in the middle of a run", async ({ db }) => {
  await installRowHistory(db.sql);
  const run = new StoreRun(db);
  for (const id of ["runs", "waits"]) await run.dispatch(id);
  await run.claim("w1");
  expect(await readTorn(db.sql)).toEqual([]);
  const [moved] = await db.sql`UPDATE ai_ready SET run_at = run_at - interval '1 second' RETURNING id::int`;
  const [gone] = await db.sql`DELETE FROM ai_lease RETURNING id::int`;
  await db.sql`INSERT INTO ai_lease (id) VALUES (${moved?.["id"]})`;
  const torn = await readTorn(db.sql);
  const named = torn.map(({ table, id, at }) => ({ table, id, isNow: at !== undefined }));
  expect(named).toEqual([
    { table: "job", id: gone?.["id"], isNow: true },
    { table: "ready", id: moved?.["id"], isNow: true },
    { table: "lease", id: moved?.["id"], isNow: true },
  ]);
});

test("what was rolled back is in no history", async ({ db }) => {
  await installRowHistory(db.sql);
  const job = await givenJob(db);
  await db.sql
    .begin(async (sql) => {
      await sql`UPDATE ai_job SET status = 'DONE', move = move + 1 WHERE job_id = ${job}`;
      throw new Error("no");
    })
    .catch(() => undefined);
  expect((await readRowHistory(db.sql)).map(({ table }) => table)).toEqual(["job", "event"]);
});

test("a second install and a Django-like writer leave the product's own triggers at work", async ({ db }) => {
  await installRowHistory(db.sql);
  await installRowHistory(db.sql);
  const job = await givenJob(db);
  const lease = await givenLease(db);
  await expire(db, job);
  expect(await django.claim(db.sql, "ai-worker")).toBe(job);
  await expectNoDrift(db);
  const versions = (await readRowHistory(db.sql)).filter((row): row is JobVersion => row.table === "job");
  expect(versions.at(-1)).toMatchObject({ status: "RUNNING", worker: "ai-worker", token: null });
  expect(versions.some(({ token }) => token === lease.token)).toBe(true);
});

test("a run with leases that end in every way breaks no rule", async ({ db }) => {
  await installRowHistory(db.sql);
  const run = new StoreRun(db);
  const seat = await givenSeat(db, "i1");
  await run.dispatch("handed", { seat });
  await run.dispatch("waits");
  run.hello("i1", []);
  await reclaimUnheld(db.reserved, [{ instanceId: "i1", sessionId: seat.sessionId, held: [] }]);
  const late = await run.claim("w1", 5);
  for (const { jobId } of late) await expire(db, jobId);
  await reclaim(db.sql, 10);
  for (const lease of late) await run.report(lease, "DONE");
  for (const lease of await run.claim("w2", 5)) await run.report(lease, "FAILED", false);
  for (const id of ["handed", "waits"]) await run.retry(id);
  for (const lease of await run.claim("w2", 5)) await run.report(lease, "DONE");
  // expire() rewrites a lease's end, as no move does.
  expect(await judged(db, run, { skip: ["heartbeats-extend-their-own", "no-early-reclaim"], drained: true })).toBe("");
});

test("jobs that retention takes away are no lost ones", async ({ db }) => {
  await installRowHistory(db.sql);
  const run = new StoreRun(db);
  await run.dispatch("a");
  const [lease] = await run.claim("w1");
  await run.report(lease!, "DONE");
  await prune(db.background, { days: -1, mode: "delete", after: null });
  expect((await readFinal(db.sql)).filter(({ table }) => table === "job")).toEqual([]);
  expect(await judged(db, run, { retention: "delete" })).toBe("");
  expect(await judged(db, run)).toContain("acknowledged-dispatch-survives");
});

type Step = (run: StoreRun, db: Database) => Promise<void>;

const back = fc.nat(4);
const job = fc.constantFrom("a", "b", "c");
const worker = fc.constantFrom("w1", "w2");
const onLease = (move: (run: StoreRun, lease: StoreRun["leases"][number]) => Promise<void>) =>
  back.map(
    (at): Step =>
      async (run) => {
        const lease = run.leases.at(-1 - at);
        if (lease !== undefined) await move(run, lease);
      },
  );
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(job, fc.boolean()).map(
    ([id, keyed]): Step =>
      (run) =>
        run.dispatch(id, { key: keyed ? `k-${id}` : undefined }).catch(() => undefined),
  ),
  fc.tuple(worker, fc.constantFrom(60_000, -1_000)).map(
    ([id, leaseMs]): Step =>
      async (run) =>
        void (await run.claim(id, 2, leaseMs)),
  ),
  onLease((run, lease) => run.heartbeat(lease)),
  onLease((run, lease) => run.report(lease, "DONE")),
  fc.boolean().chain((retryable) => onLease((run, lease) => run.report(lease, "FAILED", retryable))),
  onLease((run, lease) => run.release(lease)),
  fc.constant<Step>(async (_run, db) => void (await reclaim(db.sql, 10))),
  job.map(
    (id): Step =>
      (run) =>
        run.cancel(id),
  ),
  job.map(
    (id): Step =>
      (run) =>
        run.retry(id),
  ),
  job.map(
    (id): Step =>
      async (_run, db) =>
        makeDue(db, id),
  ),
  fc.tuple(job, worker, fc.constantFrom("DONE" as const, "FAILED" as const)).map(
    ([id, by, as]): Step =>
      (run) =>
        run.legacyReport(id, by, as),
  ),
);

test("random moves of the store, with triggers and recorded answers, break no rule", { timeout: 60_000 }, async ({
  db,
}) => {
  await installRowHistory(db.sql);
  await fc.assert(
    fc
      .asyncProperty(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), async (steps) => {
        const run = new StoreRun(db);
        for (const one of steps) await one(run, db);
        expect(await judged(db, run)).toBe("");
      })
      .beforeEach(
        async () =>
          void (await db.sql.unsafe(
            "DELETE FROM ai_result; DELETE FROM ai_job; DELETE FROM ai_event; DELETE FROM test_row_history",
          )),
      ),
    { numRuns: Number(process.env["HISTORY_RUNS"] ?? 25) },
  );
});

test("clients that race for the same jobs break no rule", { timeout: 60_000 }, async ({ db }) => {
  await installRowHistory(db.sql);
  const run = new StoreRun(db);
  const jobs = Array.from({ length: 40 }, (_, at) => `r${at}`);
  const work = async (worker: string, leaseMs: number) => {
    for (let round = 0; round < 15; round++) {
      for (const lease of await run.claim(worker, 3, leaseMs)) {
        const { attempt } = lease;
        if (attempt === 1 && round % 4 === 0) await run.release(lease);
        else if (attempt === 1 && round % 4 === 1) await run.report(lease, "FAILED");
        else if (round % 4 === 2) await run.heartbeat(lease);
        else await run.report(lease, "DONE");
      }
    }
  };
  const operate = async () => {
    for (const id of jobs.slice(0, 20)) {
      await run.cancel(id);
      await run.retry(id);
    }
  };
  const takeBack = async () => {
    for (let round = 0; round < 30; round++) await reclaim(db.sql, 10);
  };
  await Promise.all([
    ...[0, 1].map(async () => {
      for (const id of jobs) await run.dispatch(id, { key: `k-${id}`, maxAttempts: 50 });
    }),
    ...["w1", "w2", "w3"].map((worker) => work(worker, 60_000)),
    // One whose leases have run out when it gets them.
    work("slow", -1),
    operate(),
    takeBack(),
  ]);
  expect(run.records.length).toBeGreaterThan(200);
  expect(await judged(db, run)).toBe("");
});

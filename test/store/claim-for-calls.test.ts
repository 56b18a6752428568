/** One statement that claims for many calls: each call has its own leases, as if it had been alone. */
import { expect } from "vitest";
import { type Claimed, claimForCalls } from "../../src/store/claim.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import type { Claimer, Lease, NewJob } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import {
  anew,
  claimAs,
  claimSeats,
  done,
  expectNoDrift,
  givenJob,
  givenSeat,
  newJob,
  replayAs,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

type Options = Partial<Parameters<typeof claimForCalls>[1]>;

let tokens = 0;

const call = (workerId: string, limit = 1, requestId: string | null = null): Claimer => ({
  workerId,
  limit,
  requestId,
});

async function claimAll(
  db: Database,
  calls: Claimer[],
  more: Options = {},
): Promise<Omit<Claimed<Lease[]>, "deadSeats">> {
  const options = { types: [], leaseMs: 60_000, maxBytes: 3_000_000, token: `token-of-calls-${++tokens}`, calls };
  return claimForCalls(db.sql, { ...options, ...more });
}

/** Each call's jobs. */
async function jobsOf(db: Database, calls: Claimer[], more: Options = {}): Promise<string[][]> {
  return (await claimAll(db, calls, more)).leases.map((own) => own.map(({ jobId }) => jobId));
}

/** In claim order, each named by its letter. */
async function givenJobs(db: Database, letters: string, more: Partial<NewJob> = {}): Promise<void> {
  await dispatch(
    db.sql,
    [...letters].map((id) => newJob({ id, ...more })),
  );
}

const past = (s: number) => new Date(Date.now() - s * 1_000);
const KILOBYTE = JSON.stringify({ text: "x".repeat(1_000) });

test("each call gets leases of its own worker, in both tables, and by its own request_id again", async ({ db }) => {
  await givenJobs(db, "abcde");
  const odd = 'odd "{name}, NULL 한';
  const calls = [call(odd, 2, "NULL"), call("w2"), call("w2", 1, "r2"), call("w2", 1, "r3")];
  const { leases } = await claimAll(db, calls, { leaseMs: 30_000 });
  expect(leases.map((own) => own.map(({ jobId, workerId, leaseMs }) => [jobId, workerId, leaseMs]))).toEqual([
    [
      ["a", odd, 30_000],
      ["e", odd, 30_000],
    ],
    [["b", "w2", 30_000]],
    [["c", "w2", 30_000]],
    [["d", "w2", 30_000]],
  ]);
  expect(
    await db.sql`SELECT job_id, l.worker_id, l.instance_id, request_id, locked_by
      FROM ai_lease l JOIN ai_job USING (id) ORDER BY id`,
  ).toEqual([
    { job_id: "a", worker_id: odd, instance_id: null, request_id: "NULL", locked_by: odd },
    { job_id: "b", worker_id: "w2", instance_id: null, request_id: null, locked_by: "w2" },
    { job_id: "c", worker_id: "w2", instance_id: null, request_id: "r2", locked_by: "w2" },
    { job_id: "d", worker_id: "w2", instance_id: null, request_id: "r3", locked_by: "w2" },
    { job_id: "e", worker_id: odd, instance_id: null, request_id: "NULL", locked_by: odd },
  ]);
  expect((await replayAs(db, odd, "NULL", { leaseMs: 30_000 })).held).toEqual(anew(leases[0]));
  expect((await replayAs(db, "w2", "r2", { leaseMs: 30_000 })).held).toEqual(anew(leases[2]));
  expect((await replayAs(db, "w2", "r3", { leaseMs: 30_000 })).held).toEqual(anew(leases[3]));
  expect((await replayAs(db, "w2", "NULL")).held).toEqual([]);
  const all = leases.flat();
  expect(await reportAll(db, ...all.map((lease) => done(lease)))).toEqual(all.map(() => "ACCEPTED"));
  await expectNoDrift(db);
});

test("nobody gets a second job before all have their first", async ({ db }) => {
  const calls = [call("w1", 2), call("w2", 1), call("w3", 3)];
  await givenJobs(db, "abcde");
  expect(await jobsOf(db, calls)).toEqual([["a", "d"], ["b"], ["c", "e"]]);
  await givenJobs(db, "fghijklm");
  expect(await jobsOf(db, calls)).toEqual([["f", "i"], ["g"], ["h", "j", "k"]]);
  expect(await jobsOf(db, calls)).toEqual([["l"], ["m"], []]);
  expect(await jobsOf(db, calls)).toEqual([[], [], []]);
  await expectNoDrift(db);
});

test("the jobs come in claim order, whatever their types: to the first call the first", async ({ db }) => {
  await givenJob(db, { id: "third", runAt: past(10) });
  await givenJob(db, { id: "second", type: "embedding", runAt: past(20) });
  await givenJob(db, { id: "last", priority: 5, runAt: past(99) });
  await givenJob(db, { id: "first", type: "zeta", priority: -1 });
  await givenJob(db, { id: "not due", priority: -9, runAt: new Date(Date.now() + 60_000) });
  const calls = [call("w1"), call("w2", 3), call("w3")];
  expect(await jobsOf(db, calls)).toEqual([["first"], ["second", "last"], ["third"]]);
  await expectNoDrift(db);
});

test("takes only the types that were asked for, and never one that is paused", async ({ db }) => {
  for (const type of ["embedding", "ocr", "held"]) await givenJob(db, { id: type, type });
  await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('held')`;
  const calls = [call("w1", 5), call("w2", 5)];
  expect(await jobsOf(db, calls, { types: ["held", "ocr"] })).toEqual([["ocr"], []]);
  expect(await jobsOf(db, calls)).toEqual([["embedding"], []]);
  expect(await statusOf(db, "held")).toBe("PENDING");
});

test("all answers together hold at most maxBytes of payload, but always a first job", async ({ db }) => {
  await givenJobs(db, "abcd", { payload: KILOBYTE });
  const calls = [call("w1", 2), call("w2"), call("w3")];
  expect(await jobsOf(db, calls, { maxBytes: 6_500 })).toEqual([["a"], ["b"], []]);
  expect(await jobsOf(db, calls, { maxBytes: 10 })).toEqual([["c"], [], []]);
  expect(await jobsOf(db, calls)).toEqual([["d"], [], []]);
  await expectNoDrift(db);
});

test("says whether the queue is known to hold no more", async ({ db }) => {
  const calls = [call("w1", 2), call("w2", 1)];
  const isShort = async (more?: Options) => (await claimAll(db, calls, more)).isShort;
  expect(await isShort()).toBe(true);
  await givenJobs(db, "abcdefgh", { payload: KILOBYTE });
  // All that was asked for, so there may be more; then cut by its size.
  expect(await isShort()).toBe(false);
  expect(await isShort({ maxBytes: 6_500 })).toBe(false);
  expect(await isShort()).toBe(false);
  await givenJobs(db, "ij");
  // Fewer than were asked for, but not all that are left.
  expect(await isShort({ maxBytes: 10 })).toBe(false);
  expect(await isShort()).toBe(true);
  await expectNoDrift(db);
});

test("jobs that are spent or to be cancelled end on the way and are nobody's", async ({ db }) => {
  await givenJobs(db, "sctgh");
  await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id IN ('s', 't')`;
  await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = 'c'`;
  const { leases, ended } = await claimAll(db, [call("w1", 1, "r1"), call("w2", 4, "r2")]);
  const nobody = { workerId: null, token: null, instanceId: null, durationMs: null };
  expect(ended).toMatchObject([
    { jobId: "s", to: "FAILED", ...nobody },
    { jobId: "c", to: "CANCELLED", ...nobody },
    { jobId: "t", to: "FAILED", ...nobody },
  ]);
  expect(leases.map((own) => own.map(({ jobId }) => jobId))).toEqual([["g"], ["h"]]);
  await expectNoDrift(db);
});

test("a batch that met nothing but jobs to be ended goes on to those behind them, within maxBytes", async ({ db }) => {
  await givenJobs(db, "stugh", { payload: KILOBYTE });
  await db.sql`UPDATE ai_job SET attempt_count = max_attempts WHERE job_id IN ('s', 't', 'u')`;
  const { leases, ended } = await claimAll(db, [call("w1"), call("w2")], { maxBytes: 5_000 });
  expect(ended.map(({ jobId }) => jobId)).toEqual(["s", "t", "u"]);
  expect(leases.map((own) => own.map(({ jobId }) => jobId))).toEqual([["g"], []]);
  await expectNoDrift(db);
});

test("finds what is free behind jobs that another transaction holds", async ({ db }) => {
  await givenJobs(db, "xy", { type: "held", priority: -1 });
  await givenJobs(db, "ab", { type: "free" });
  await db.sql.begin(async (tx) => {
    await tx`SELECT FROM ai_job WHERE job_type = 'held' FOR UPDATE`;
    expect(await jobsOf({ ...db, sql: db.reserved }, [call("w1"), call("w2")])).toEqual([["a"], ["b"]]);
  });
  await expectNoDrift(db);
});

test("lease rows that drifted and stand in the way are written over, each by its call's own", async ({ db }) => {
  await givenJobs(db, "abcd");
  await db.sql`INSERT INTO ai_lease (id, worker_id, request_id, instance_id, cancel_at, expires_at)
    SELECT id, 'old', 'old-request', 'old-instance', now(), now() FROM ai_job WHERE job_id IN ('b', 'c')`;
  const { leases } = await claimAll(db, [call("w1", 2, "r1"), call("w2"), call("w3", 1, "r3")]);
  expect(leases.map((own) => own.map(({ jobId }) => jobId))).toEqual([["a", "d"], ["b"], ["c"]]);
  const rows = await db.sql`SELECT job_id, l.worker_id, l.request_id, l.cancel_at FROM ai_lease l JOIN ai_job USING (id)
    ORDER BY id`;
  expect(rows).toEqual([
    { job_id: "a", worker_id: "w1", request_id: "r1", cancel_at: null },
    { job_id: "b", worker_id: "w2", request_id: null, cancel_at: null },
    { job_id: "c", worker_id: "w3", request_id: "r3", cancel_at: null },
    { job_id: "d", worker_id: "w1", request_id: "r1", cancel_at: null },
  ]);
  expect((await replayAs(db, "old", "old-request")).held).toEqual([]);
  expect(await rowOf(db, "b")).toMatchObject({ attempt_count: 1, deliveries: 1 });
  await expectNoDrift(db);
});

test("many that run at once, beside claims for one and for seats, share the queue: each job once", async ({ db }) => {
  const jobs = Array.from({ length: 240 }, (_, n) => newJob({ type: n % 3 ? "ocr" : "grade", priority: n % 2 }));
  await dispatch(db.sql, jobs);
  const seat = await givenSeat(db, "i1");
  const taken: string[] = [];
  const untilEmpty = async (claim: () => Promise<Lease[]>) => {
    for (let leases = await claim(); leases.length > 0; leases = await claim()) {
      taken.push(...leases.map(({ jobId }) => jobId));
    }
  };
  const forCalls = async (n: number, types: string[]) => {
    const { leases } = await claimAll(db, [call(`a${n}`), call(`b${n}`, 3), call(`c${n}`, 2)], { types });
    for (const [at, own] of leases.entries()) {
      for (const { workerId } of own) expect(workerId).toBe(`${"abc"[at]}${n}`);
    }
    return leases.flat();
  };
  await Promise.all([
    untilEmpty(() => forCalls(1, [])),
    untilEmpty(() => forCalls(2, [])),
    untilEmpty(() => forCalls(3, ["ocr"])),
    untilEmpty(() => forCalls(4, ["ocr", "grade"])),
    untilEmpty(() => claimAs(db, "w1", { limit: 3 })),
    untilEmpty(() => claimSeats(db, [seat, seat, seat, seat])),
  ]);
  expect(taken.sort()).toEqual(jobs.map(({ id }) => id).sort());
  await expectNoDrift(db);
});

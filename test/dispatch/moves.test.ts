import { expect } from "vitest";
import type { ClaimCall } from "../../src/dispatch/moves.ts";
import { pauseType, resumeType } from "../../src/store/type-pause.ts";
import { openTestDatabase, test } from "../support/db.ts";
import {
  anew,
  claimAs,
  done,
  EXPIRED,
  expire,
  failed,
  givenJob,
  legacyDone,
  legacyFailed,
  newJob,
  rowOf,
  statusOf,
} from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";
import { until } from "../support/until.ts";

const NEVER = new AbortController().signal;
const call = (more: Partial<ClaimCall> = {}): ClaimCall => ({
  workerId: "w1",
  types: [],
  maxJobs: 1,
  waitMs: 0,
  requestId: null,
  ...more,
});

test("a waiting claim answers as soon as a job is dispatched, without a poll", async ({ db }) => {
  await using broker = startMoves(db);
  const claim = broker.moves.claim(call({ waitMs: 30_000, types: ["ocr"] }), NEVER);
  await until("the claim waits", () => broker.waiters.waiting === 1);
  const [stored] = await broker.moves.dispatch([newJob({ type: "ocr" })]);
  expect((await claim).map((l) => l.jobId)).toEqual([stored?.jobId]);
});

test("a dispatch on one broker wakes a claim that waits on another", async ({ db, url }) => {
  const other = openTestDatabase(url);
  try {
    await using here = startMoves(db);
    await using there = startMoves(other);
    await there.listening;
    const claim = there.moves.claim(call({ waitMs: 30_000 }), NEVER);
    await until("the claim waits", () => there.waiters.waiting === 1);
    const [stored] = await here.moves.dispatch([newJob()]);
    expect((await claim).map((l) => l.jobId)).toEqual([stored?.jobId]);
  } finally {
    await other.close();
  }
});

test("a row that plain SQL inserts is found by the poll", async ({ db }) => {
  await using broker = startMoves(db, { pollMs: 20 });
  const claim = broker.moves.claim(call({ waitMs: 30_000 }), NEVER);
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await db.sql`INSERT INTO ai_job (job_id, job_type) VALUES ('by-hand', 'ocr')`;
  expect((await claim).map((l) => l.jobId)).toEqual(["by-hand"]);
});

test("a job that waits for its run_at wakes the claim when it is due, long before the next poll", async ({ db }) => {
  await using broker = startMoves(db);
  const claim = broker.moves.claim(call({ waitMs: 30_000 }), NEVER);
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await broker.moves.dispatch([newJob({ id: "later", runAt: new Date(Date.now() + 150) })]);
  expect((await claim).map((l) => l.jobId)).toEqual(["later"]);
});

test("a resumed type wakes who waits for it, on every broker, long before the next poll", async ({ db, url }) => {
  const other = openTestDatabase(url);
  try {
    await using here = startMoves(db);
    await using there = startMoves(other);
    await there.listening;
    for (const [at, broker] of [here, there].entries()) {
      await pauseType(db, "ocr", "");
      await here.moves.dispatch([newJob({ id: `held-${at}`, type: "ocr" })]);
      const claim = broker.moves.claim(call({ waitMs: 30_000, types: ["ocr"] }), NEVER);
      await until("the claim waits", () => broker.waiters.waiting === 1);
      await resumeType(db, "ocr");
      here.moves.resumed();
      expect((await claim).map((l) => l.jobId)).toEqual([`held-${at}`]);
    }
  } finally {
    await other.close();
  }
});

test("what goes back to the queue wakes who waits: a release, a reclaim, a retry by hand", async ({ db }) => {
  await using broker = startMoves(db);
  const next = async () => {
    const claim = broker.moves.claim(call({ workerId: "w2", waitMs: 30_000 }), NEVER);
    await until("the claim waits", () => broker.waiters.waiting === 1);
    return claim;
  };
  await broker.moves.dispatch([newJob({ id: "j", maxAttempts: 9 })]);
  let [lease] = await broker.moves.claim(call(), NEVER);
  let waiting = next();
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await broker.moves.release("w1", lease ? [lease] : [], "busy");
  [lease] = await waiting;
  expect(lease?.jobId).toBe("j");

  waiting = next();
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await expire(db, "j");
  await broker.moves.reclaim();
  [lease] = await waiting;
  expect(lease).toMatchObject({ jobId: "j", attempt: 2 });

  await broker.moves.report("w2", lease ? [failed(lease, { retryable: false })] : []);
  waiting = next();
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await broker.moves.retry(["j"]);
  [lease] = await waiting;
  expect(lease).toMatchObject({ jobId: "j", attempt: 1 });
});

test("a claim ends with nothing after its wait, when its caller leaves, and when the broker stops", async ({ db }) => {
  await using broker = startMoves(db);
  expect(await broker.moves.claim(call({ waitMs: 5 }), NEVER)).toEqual([]);
  const caller = new AbortController();
  const left = broker.moves.claim(call({ waitMs: 30_000 }), caller.signal);
  await until("the claim waits", () => broker.waiters.waiting === 1);
  caller.abort();
  expect(await left).toEqual([]);
  const open = broker.moves.claim(call({ waitMs: 30_000 }), NEVER);
  await until("the claim waits", () => broker.waiters.waiting === 1);
  broker.waiters.stop();
  expect(await open).toEqual([]);
});

test("a claim whose caller leaves while its statement runs gives its jobs back, and no attempt is spent", async ({
  db,
}) => {
  await using broker = startMoves(db);
  const jobId = await givenJob(db);
  const caller = new AbortController();
  const claim = await db.sql.begin(async (tx) => {
    // Every claim looks at it.
    await tx`LOCK TABLE ai_type_pause IN ACCESS EXCLUSIVE MODE`;
    const claimed = broker.moves.claim(call(), caller.signal);
    await until("its statement waits", async () => {
      return (
        (await db.reserved`SELECT FROM pg_locks WHERE relation = 'ai_type_pause'::regclass AND NOT granted`).length > 0
      );
    });
    caller.abort();
    return { claimed };
  });
  expect(await claim.claimed).toEqual([]);
  expect(await rowOf(db, jobId)).toMatchObject({ status: "PENDING", attempt_count: 0, returns: 1 });
});

test("a try that comes late, and whose caller has left, leaves what an earlier one was given to who works on it", async ({
  db,
  url,
}) => {
  const other = openTestDatabase(url);
  try {
    // The first try went to a broker that was stopped; its repeat was answered by another one.
    await using stopped = startMoves(other);
    await using broker = startMoves(db);
    const jobId = await givenJob(db);
    const [lease] = await broker.moves.claim(call({ requestId: "r" }), NEVER);
    expect(await stopped.moves.claim(call({ requestId: "r" }), AbortSignal.abort())).toEqual([]);
    expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", lease_token: lease?.token });
    const [reported] = await broker.moves.report("w1", [done({ jobId, token: lease?.token ?? "" })]);
    expect(reported?.status).toBe("ACCEPTED");
  } finally {
    await other.close();
  }
});

test("a repeated request_id is answered with the leases of the lost answer, and takes no more", async ({ db }) => {
  await using broker = startMoves(db);
  await broker.moves.dispatch([newJob(), newJob(), newJob()]);
  const first = await broker.moves.claim(call({ maxJobs: 2, requestId: "r" }), NEVER);
  const again = await broker.moves.claim(call({ maxJobs: 2, requestId: "r" }), NEVER);
  expect(first).toHaveLength(2);
  expect(again).toEqual(anew(first));
  // The broker that answered first may still believe that its caller has left: what was told is nobody's to give back.
  const back = await broker.moves.giveBack("w1", first, "caller left");
  expect(back.map(({ released }) => released)).toEqual([false, false]);
});

test("what two tries were given beyond what one may have goes back at once", async ({ db }) => {
  await using broker = startMoves(db);
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push(await givenJob(db));
  // Another broker's try and this one's, whose answers were both lost.
  await claimAs(db, "w1", { limit: 1, requestId: "r" });
  await claimAs(db, "w1", { limit: 2, requestId: "r" });
  const again = await broker.moves.claim(call({ maxJobs: 2, requestId: "r" }), NEVER);
  expect(again.map(({ jobId }) => jobId)).toEqual(ids.slice(1));
  expect(await rowOf(db, ids[0] as string)).toMatchObject({ status: "PENDING", attempt_count: 0, returns: 1 });
});

test("a repeat whose caller has left gives no sign of life for its worker", async ({ db }) => {
  await using broker = startMoves(db);
  await givenJob(db);
  const leases = await claimAs(db, "w1", { requestId: "r" });
  expect(await broker.moves.claim(call({ requestId: "r" }), AbortSignal.abort())).toEqual([]);
  expect(await broker.moves.giveBack("w1", leases, "caller left")).toMatchObject([{ released: true }]);
});

test("a repeat that overtakes its waiting first call gets the job, once", async ({ db }) => {
  await using broker = startMoves(db);
  const first = broker.moves.claim(call({ waitMs: 30_000, requestId: "r" }), NEVER);
  await until("the first waits", () => broker.waiters.waiting === 1);
  const second = broker.moves.claim(call({ waitMs: 30_000, requestId: "r" }), NEVER);
  expect(await first).toEqual([]);
  await until("the second waits", () => broker.waiters.waiting === 1);
  await broker.moves.dispatch([newJob({ id: "j" }), newJob()]);
  expect((await second).map((l) => l.jobId)).toEqual(["j"]);
});

test("a legacy poll reclaims first: a job that has just expired is its answer", async ({ db }) => {
  await using broker = startMoves(db, { leaseMs: EXPIRED });
  const jobId = await givenJob(db);
  const spent = await givenJob(db, { maxAttempts: 1 });
  await broker.moves.claim(call({ maxJobs: 2 }), NEVER);
  expect(await broker.moves.legacyNext("old")).toMatchObject({ jobId, attempt: 2, workerId: "old" });
  expect(await rowOf(db, spent)).toMatchObject({ status: "FAILED", last_error: "max_attempts_exceeded" });
  expect(await broker.moves.legacyNext("old")).toBeNull();
});

test("legacy and gRPC workers share one queue, and the first result wins", async ({ db }) => {
  await using broker = startMoves(db);
  const jobId = await givenJob(db);
  const [lease] = await broker.moves.claim(call(), NEVER);
  if (lease === undefined) throw new Error("nothing claimed");
  expect(await broker.moves.legacyReport(legacyFailed(jobId, "old"))).toBe("duplicate_ignored");
  expect(await broker.moves.legacyReport(legacyDone(jobId, "old"))).toBe("done");
  expect(await broker.moves.report("w1", [done(lease)])).toMatchObject([{ status: "LEASE_LOST" }]);
  expect(await broker.moves.legacyReport(legacyDone(jobId, "old"))).toBe("duplicate_ignored");
  expect(await broker.moves.legacyReport(legacyDone("nope"))).toBe("not_found");
});

test("a legacy DONE is taken for a job that waits, and it is not handed out again", async ({ db }) => {
  await using broker = startMoves(db);
  const jobId = await givenJob(db);
  expect(await broker.moves.legacyReport(legacyDone(jobId))).toBe("done");
  expect(await broker.moves.legacyNext("old")).toBeNull();
});

test("a legacy failure is always tried again while attempts are left", async ({ db }) => {
  await using broker = startMoves(db, { backoff: { baseMs: 0, maxMs: 0, jitter: 0 } });
  const jobId = await givenJob(db, { maxAttempts: 2 });
  await broker.moves.legacyNext("old");
  expect(await broker.moves.legacyReport(legacyFailed(jobId, "old"))).toBe("failed_recorded");
  expect(await statusOf(db, jobId)).toBe("PENDING");
  await broker.moves.legacyNext("old");
  expect(await broker.moves.legacyReport(legacyFailed(jobId, "old"))).toBe("failed_recorded");
  expect(await statusOf(db, jobId)).toBe("FAILED");
});

test("every state change is one log line that names job, worker, attempt and duration, and no payload or token", async ({
  db,
}) => {
  await using broker = startMoves(db);
  const canary = "canary-in-payload";
  await broker.moves.dispatch([newJob({ id: "j", payload: JSON.stringify({ text: canary }) })]);
  const [lease] = await broker.moves.claim(call(), NEVER);
  if (lease === undefined) throw new Error("nothing claimed");
  await broker.moves.heartbeat("w1", [{ ...lease, progress: { percent: 1, note: canary } }]);
  await broker.moves.report("w1", [done(lease, { result: JSON.stringify({ text: canary }), error: canary })]);
  await broker.moves.report("w1", [done(lease)]);
  const lines = broker.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.map((l) => [l["move"], l["to"], l["job_id"], l["attempt"], l["worker"]])).toEqual([
    ["dispatch", "PENDING", "j", 0, undefined],
    ["claim", "RUNNING", "j", 1, "w1"],
    ["report", "DONE", "j", 1, "w1"],
  ]);
  expect(lines[2]?.["duration_ms"]).toEqual(expect.any(Number));
  expect(broker.lines.join("")).not.toContain(canary);
  expect(broker.lines.join("")).not.toContain(lease.token);
});

test("MAX_PENDING refuses a dispatch that would pass it, and takes it once there is room", async ({ db }) => {
  await using broker = startMoves(db, { maxPending: 3 });
  await broker.moves.dispatch([newJob(), newJob()]);
  await expect(broker.moves.dispatch([newJob(), newJob()])).rejects.toMatchObject({ reason: "QUEUE_FULL" });
  await broker.moves.claim(call({ maxJobs: 2 }), NEVER);
  expect(await broker.moves.dispatch([newJob(), newJob(), newJob()])).toHaveLength(3);
});

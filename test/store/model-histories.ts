/**
 * The store beside a small pure model of what it promises: random histories of moves by producers, workers, operators,
 * legacy workers and a Django-like writer, with every answer and every row compared, and no drift after any step.
 */
import fc from "fast-check";
import { expect } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim, reclaimUnheld } from "../../src/store/reclaim.ts";
import { release } from "../../src/store/release.ts";
import { report } from "../../src/store/report.ts";
import { retry } from "../../src/store/retry.ts";
import type { LeaseRef, Seat } from "../../src/store/rows.ts";
import { endSessions, openSessions } from "../../src/store/sessions.ts";
import { pauseType, resumeType } from "../../src/store/type-pause.ts";
import { django } from "../support/django.ts";
import { claimAs, claimSeats, done, expire, newJob, opening, replayAs } from "../support/jobs.ts";
import type { Model } from "../support/model.ts";
import { back, body, MAX_DELIVERIES, none, recent, stepsIn, type } from "../support/model-steps.ts";
import { expectSameRows } from "./model-rows.ts";

const AT_ONCE = { baseMs: 0, maxMs: 0, jitter: 0 };
const HOUR_MS = 3_600_000;

/** What a history is told of and what it has got so far. */
interface World {
  db: Database;
  model: Model;
  /** All leases ever got, current ones and stale ones. */
  leases: LeaseRef[];
  /** All sessions ever opened. */
  seats: Seat[];
  step: number;
}

const { said, onLease, onJob } = stepsIn<World>();

const types = fc.oneof(fc.constant<string[]>([]), fc.subarray(["a", "b", "c"]));
const worker = fc.constantFrom("w1", "w2", "ai-worker");
const instance = fc.constantFrom("i1", "i2");
const request = fc.constantFrom(null, "r1", "r2");
/** By an id that may be known, or by a key that may be. */
const named = fc.oneof(
  fc.integer({ min: 0, max: 9 }).map((n) => ({ id: `j${n}`, key: null })),
  fc.integer({ min: 0, max: 3 }).map((n) => ({ id: "", key: `k${n}` })),
);
async function claimStep(w: World, workerId: string, types: string[], limit: number, requestId: string | null) {
  const expected = w.model.claim(workerId, types, limit, requestId);
  const leases = await claimAs(w.db, workerId, { types, limit, requestId });
  expect(leases.map((l) => [l.jobId, l.attempt])).toEqual(expected.map(([id, job]) => [id, job.attempts]));
  for (const [at, [, job]] of expected.entries()) job.token = leases[at]?.token ?? null;
  w.leases.push(...leases.map(({ jobId, token }) => ({ jobId, token })));
}

async function seatsStep(w: World, ats: number[], types: string[]) {
  const seats = ats.flatMap((at) => recent(w.seats, at) ?? []);
  const expected = w.model.claimForSeats(seats, types);
  const leases = await claimSeats(w.db, seats, { types });
  expect(leases.map((l) => [l.jobId, l.attempt, l.workerId, l.instanceId])).toEqual(
    expected.map(([id, job]) => [id, job.attempts, job.holder, job.instance]),
  );
  for (const [at, [, job]] of expected.entries()) job.token = leases[at]?.token ?? null;
  w.leases.push(...leases.map(({ jobId, token }) => ({ jobId, token })));
}

async function reclaimStep(w: World) {
  expect((await reclaim(w.db.sql, 100)).map((r) => r.jobId).sort()).toEqual(w.model.reclaim().sort());
}

const DISPATCH = said(
  fc.tuple(fc.array(fc.tuple(named, body), { minLength: 1, maxLength: 3 })),
  "dispatch",
  async (w, items) => {
    const jobs = items.map(([{ id, key }, rest], n) => ({ id: id || `by-key-${w.step}-${n}`, key, ...rest }));
    const stored = dispatch(
      w.db.sql,
      jobs.map(({ key, ...job }) => newJob({ ...job, idempotencyKey: key })),
    ).catch((err: unknown) => (err instanceof BrokerError ? err.reason : Promise.reject(err)));
    expect(await stored).toEqual(w.model.dispatch(jobs) ?? "IDEMPOTENCY_KEY_REUSED");
  },
);

const CLAIM = said(fc.tuple(worker, types, fc.integer({ min: 1, max: 3 }), request), "claim", claimStep);

const PRODUCERS = [
  DISPATCH,
  onJob("cancel", fc.tuple(fc.boolean()), async (w, jobId, now) => {
    const [answer] = await cancel(w.db.sql, [jobId], "enough", now ? 0 : HOUR_MS);
    expect(answer?.outcome).toBe(w.model.cancel(jobId, now ? "over" : "later"));
  }),
  onJob("retry", none, async (w, jobId) => {
    expect((await retry(w.db.sql, [jobId]))[0]?.outcome).toBe(w.model.retry(jobId));
  }),
  said(fc.tuple(type), "pause", async (w, which) => {
    await pauseType(w.db, which, "");
    w.model.paused.add(which);
  }),
  said(fc.tuple(type), "resume", async (w, which) => {
    expect(await resumeType(w.db, which)).toBe(w.model.paused.delete(which));
  }),
];

const WORKERS = [
  said(fc.tuple(worker, fc.constantFrom("r1", "r2")), "replay", async (w, workerId, requestId) => {
    const { held } = await replayAs(w.db, workerId, requestId, { limit: 1_000 });
    expect(held.map((l) => l.jobId)).toEqual(w.model.replay(workerId, requestId));
  }),
  onLease("heartbeat", none, async (w, lease) => {
    const [renewal] = await heartbeat(w.db.reserved, [{ ...lease, progress: null }], 60_000);
    expect(renewal?.verdict).toBe(w.model.heartbeat(lease.jobId, lease.token));
  }),
  onLease(
    "report",
    fc.tuple(fc.constantFrom("DONE" as const, "FAILED" as const), fc.boolean(), fc.boolean()),
    async (w, lease, status, retryable, later) => {
      const result = `{"step": ${w.step}}`;
      const error = status === "DONE" ? "" : "it broke";
      const item = done(lease, { status, result, error, retryable, retryDelayMs: later ? HOUR_MS : 0 });
      const expected = w.model.report(lease.jobId, lease.token, status, result, { retry: retryable, later });
      expect((await report(w.db.reserved, [item], AT_ONCE))[0]?.status).toBe(expected);
    },
  ),
  onLease("release", none, async (w, lease) => {
    const [answer] = await release(w.db.reserved, [lease], MAX_DELIVERIES);
    expect(answer?.released).toBe(w.model.release(lease.jobId, lease.token, MAX_DELIVERIES));
  }),
  onJob("expire", none, async (w, jobId) => {
    const running = w.model.jobs.get(jobId)?.status === "RUNNING";
    if (running) await expire(w.db, jobId);
    w.model.expire(jobId);
  }),
  said(none, "reclaim", reclaimStep),
];

const STREAMS = [
  said(fc.tuple(instance, worker), "hello", async (w, instanceId, workerId) => {
    const hello = opening(instanceId, { workerId });
    w.seats.push(hello);
    const [opened] = await openSessions(w.db.sql, "b1", [hello]);
    expect(opened?.epoch).toBe(w.model.open(instanceId, hello.sessionId));
  }),
  said(fc.tuple(back), "bye", async (w, at) => {
    const seat = recent(w.seats, at);
    if (seat === undefined) return;
    await endSessions(w.db.sql, [seat]);
    w.model.end(seat);
  }),
  said(fc.tuple(fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }), types), "claimForSeats", seatsStep),
  said(fc.tuple(instance, fc.array(back, { maxLength: 2 })), "reclaimUnheld", async (w, instanceId, ats) => {
    const held = ats.flatMap((at) => recent([...w.model.jobs.keys()], at) ?? []);
    const taken = await reclaimUnheld(w.db.sql, [{ instanceId, held }]);
    expect(taken.map((r) => r.jobId).sort()).toEqual(w.model.reclaimUnheld(instanceId, held).sort());
  }),
];

const OTHERS = [
  said(fc.tuple(worker), "legacyNext", async (w, workerId) => {
    await reclaimStep(w);
    await claimStep(w, workerId, [], 1, null);
  }),
  onJob("legacyReport", fc.tuple(worker, fc.boolean()), async (w, jobId, workerId, ok) => {
    const status = ok ? "DONE" : "FAILED";
    const result = `{"step": ${w.step}}`;
    const answer = await legacyReport(
      w.db.reserved,
      { jobId, workerId, status, result, error: ok ? "" : "failed" },
      AT_ONCE,
    );
    expect(answer.verdict).toBe(w.model.legacyReport(jobId, workerId, status, result));
  }),
  said(fc.tuple(body), "insertBySql", async (w, { type, priority, maxAttempts }) => {
    const id = `sql-${w.step}`;
    await w.db.sql`INSERT INTO ai_job (job_id, job_type, priority, max_attempts)
      VALUES (${id}, ${type}, ${priority}, ${maxAttempts})`;
    w.model.insert(id, { type, priority, maxAttempts });
  }),
  onJob("publishByDjango", none, async (w, jobId) => {
    await w.db.sql`UPDATE ai_job SET status = 'PENDING', next_run_at = now() WHERE job_id = ${jobId}`;
    w.model.written(jobId, "PENDING");
  }),
  onJob("claimByDjango", fc.tuple(worker), async (w, jobId, workerId) => {
    if (w.model.jobs.get(jobId)?.status !== "PENDING") return;
    await w.db.sql`UPDATE ai_job SET status = 'RUNNING', attempt_count = attempt_count + 1, locked_by = ${workerId},
      locked_at = now(), lease_expires_at = now() + interval '1 minute' WHERE job_id = ${jobId}`;
    w.model.written(jobId, "RUNNING", workerId);
  }),
  onJob("doneByDjango", none, async (w, jobId) => {
    await django.markDone(w.db.sql, jobId);
    w.model.written(jobId, "DONE");
    const job = w.model.jobs.get(jobId);
    if (job !== undefined) job.error = "";
  }),
  onJob("saveByAdmin", none, async (w, jobId) => {
    await django.adminSave(w.db.sql, jobId);
    const job = w.model.jobs.get(jobId);
    if (job !== undefined) job.error = "seen by an admin";
  }),
  onJob("delete", none, async (w, jobId) => {
    await w.db
      .sql`WITH r AS (DELETE FROM ai_result USING ai_job j WHERE j.id = ai_result.job_id AND j.job_id = ${jobId})
      DELETE FROM ai_job WHERE job_id = ${jobId}`;
    w.model.jobs.delete(jobId);
  }),
];

/** Histories that begin with a dispatch and a claim, each played beside a model from `create`. */
export function histories(db: Database, create: () => Model) {
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.oneof(...PRODUCERS) },
    { weight: 2, arbitrary: CLAIM },
    { weight: 5, arbitrary: fc.oneof(...WORKERS) },
    { weight: 3, arbitrary: fc.oneof(...STREAMS) },
    { weight: 3, arbitrary: fc.oneof(...OTHERS) },
  );
  const history = fc.tuple(DISPATCH, CLAIM, fc.noBias(fc.array(step, { maxLength: 60, size: "max" })));
  return fc.asyncProperty(history, async ([dispatched, claimed, more]) => {
    await db.sql`TRUNCATE ai_job, ai_result, ai_ready, ai_lease, ai_type_pause, ai_result_archive,
      ai_session`;
    const world: World = { db, model: create(), leases: [], seats: [], step: 0 };
    for (const step of [dispatched, claimed, ...more]) {
      world.step++;
      await step(world);
      await expectSameRows(db, world.model);
    }
  });
}

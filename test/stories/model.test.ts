/**
 * A whole broker, over its port, beside the same model as the store: random histories of calls by producers, workers,
 * operators and legacy workers, each over a transport of its own choice, with every answer and every row compared.
 * MODEL_RUNS=500 searches longer; a failure prints the shortest history that it found.
 */
import { type Client, createClient } from "@connectrpc/connect";
import fc from "fast-check";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { CancelStatus, JobService, RetryStatus } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { LeaseVerdict, ReportStatus, WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { endSessions, openSessions } from "../../src/store/sessions.ts";
import { expectSameRows } from "../store/model-rows.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { claimSeats, expire, opening } from "../support/jobs.ts";
import { Model } from "../support/model.ts";
import { back, body, labelled, MAX_DELIVERIES, none, recent, STILL, type, word } from "../support/model-steps.ts";
import { readError, transports } from "../support/rpc-clients.ts";

const RUNS = Number(process.env["MODEL_RUNS"] ?? 12);
type Via = { worker: Client<typeof WorkerService>; jobs: Client<typeof JobService> };

interface World {
  db: Parameters<typeof expectSameRows>[0];
  broker: TestBroker;
  ways: Via[];
  model: Model;
  leases: { jobId: string; leaseToken: string; worker: string }[];
  step: number;
}

type Step = (world: World) => Promise<void>;

/** Which transport the call goes by. */
const way = fc.nat(6);
const types = fc.oneof(fc.constant<string[]>([]), fc.subarray(["a", "b", "c"]));
const worker = fc.constantFrom("w1", "w2");
const named = fc.oneof(
  fc.integer({ min: 0, max: 9 }).map((n) => ({ id: `j${n}`, key: "" })),
  fc.integer({ min: 0, max: 3 }).map((n) => ({ id: "", key: `k${n}` })),
);
function said<T extends unknown[]>(
  arbitrary: fc.Arbitrary<T>,
  name: string,
  run: (w: World, via: Via, ...args: T) => Promise<void>,
) {
  return fc.tuple(way, arbitrary).map(([by, args]) => {
    const step: Step = (world) => run(world, world.ways[by % world.ways.length] as Via, ...args);
    return labelled(step, name, args);
  });
}

const onLease = <T extends unknown[]>(
  name: string,
  more: fc.Arbitrary<T>,
  run: (w: World, via: Via, lease: World["leases"][0], ...args: T) => Promise<void>,
) =>
  said(fc.tuple(back, more), name, async (w, via, at, args) => {
    const lease = recent(w.leases, at);
    if (lease !== undefined) await run(w, via, lease, ...args);
  });

const onJob = (name: string, run: (w: World, via: Via, jobId: string) => Promise<void>) =>
  said(fc.tuple(back), name, async (w, via, at) => {
    const jobId = recent([...w.model.jobs.keys()], at);
    if (jobId !== undefined) await run(w, via, jobId);
  });

/** The answers to jobs that the model has just handed out, which learns their tokens by it. */
function handedOut(
  w: World,
  name: string,
  expected: ReturnType<Model["claim"]>,
  got: [string, string, number][],
): void {
  expect(got.map(([id, , attempt]) => [id, attempt])).toEqual(expected.map(([id, job]) => [id, job.attempts]));
  for (const [at, [, job]] of expected.entries()) job.token = got[at]?.[1] ?? null;
  w.leases.push(...got.map(([jobId, leaseToken]) => ({ jobId, leaseToken, worker: name })));
}

const DISPATCH = said(
  fc.tuple(fc.array(fc.tuple(named, body), { minLength: 1, maxLength: 3 })),
  "dispatch",
  async (w, { jobs }, items) => {
    const given = items.map(([{ id, key }, rest], n) => ({ id: id || `by-key-${w.step}-${n}`, key, ...rest }));
    const sent = given.map(({ key, ...job }) => ({ ...job, idempotencyKey: key, payloadJson: "{}" }));
    const answer = await jobs.dispatch({ jobs: sent }).then(
      ({ results }) => results.map(({ jobId, created }) => ({ jobId, created })),
      (err: unknown) => readError(err).reason,
    );
    const expected = w.model.dispatch(given.map(({ key, ...job }) => ({ ...job, key: key === "" ? null : key })));
    expect(answer).toEqual(expected ?? "IDEMPOTENCY_KEY_REUSED");
  },
);

const CLAIM = said(fc.tuple(worker, types, fc.integer({ min: 1, max: 3 })), "claim", async (w, via, ...args) => {
  const [workerId, wanted, maxJobs] = args;
  const { jobs } = await via.worker.claim({ workerId, types: wanted, maxJobs });
  const expected = w.model.claim(workerId, wanted, maxJobs, null);
  handedOut(
    w,
    workerId,
    expected,
    jobs.map((j) => [j.job?.id ?? "", j.leaseToken, j.attempt]),
  );
});

const OPERATORS = [
  onJob("cancel", async (w, { jobs }, id) => {
    const { results } = await jobs.cancelJobs({ jobIds: [id] });
    expect(word(CancelStatus, results[0]?.status)).toBe(w.model.cancel(id, "later"));
  }),
  onJob("retry", async (w, { jobs }, id) => {
    const { results } = await jobs.retryJobs({ jobIds: [id] });
    expect(word(RetryStatus, results[0]?.status)).toBe(w.model.retry(id));
  }),
  said(fc.tuple(type), "pause", async (w, _via, jobType) => {
    await w.broker.admin.pauseType({ type: jobType });
    w.model.paused.add(jobType);
  }),
  said(fc.tuple(type), "resume", async (w, _via, jobType) => {
    await w.broker.admin.resumeType({ type: jobType });
    w.model.paused.delete(jobType);
  }),
];

const WORKERS = [
  said(fc.tuple(worker, fc.constantFrom("r1", "r2")), "claimByRequest", async (w, via, workerId, requestId) => {
    const { jobs } = await via.worker.claim({ workerId, maxJobs: 1, requestId });
    const held = w.model.replay(workerId, requestId);
    if (held.length > 0) expect(jobs.map((j) => j.job?.id)).toEqual(held);
    else {
      const expected = w.model.claim(workerId, [], 1, requestId);
      handedOut(
        w,
        workerId,
        expected,
        jobs.map((j) => [j.job?.id ?? "", j.leaseToken, j.attempt]),
      );
    }
  }),
  onLease("heartbeat", none, async (w, via, { jobId, leaseToken, worker: workerId }) => {
    const { leases } = await via.worker.heartbeat({ workerId, leases: [{ jobId, leaseToken }] });
    expect(word(LeaseVerdict, leases[0]?.verdict)).toBe(w.model.heartbeat(jobId, leaseToken));
  }),
  onLease("report", fc.tuple(fc.boolean(), fc.boolean()), async (w, via, lease, ok, retryable) => {
    const { jobId, leaseToken, worker: workerId } = lease;
    const resultJson = `{"step": ${w.step}}`;
    const result = ok
      ? { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson }
      : { jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: "it broke", resultJson };
    const { results } = await via.worker.report({ workerId, items: [{ leaseToken, result, retryable }] });
    const more = { retry: retryable, later: false };
    const expected = w.model.report(jobId, leaseToken, ok ? "DONE" : "FAILED", resultJson, more);
    expect(word(ReportStatus, results[0]?.status)).toBe(expected);
  }),
  onLease("release", none, async (w, via, { jobId, leaseToken, worker: workerId }) => {
    const { results } = await via.worker.release({ workerId, leases: [{ jobId, leaseToken }] });
    expect(results[0]?.released).toBe(w.model.release(jobId, leaseToken, MAX_DELIVERIES));
  }),
  onJob("expire", async (w, _via, jobId) => {
    if (w.model.jobs.get(jobId)?.status === "RUNNING") await expire(w.db, jobId);
    w.model.expire(jobId);
  }),
  said(fc.tuple(fc.constantFrom("old-1", "old-2")), "legacyNext", async (w, _via, name) => {
    // Django's rule: the queue is swept before each look.
    w.model.reclaim();
    const { body } = await w.broker.rest("GET", "next", undefined, name);
    const job = (body as { job: { id: string } | null }).job;
    const [expected] = w.model.claim(name, [], 1, null);
    expect(job?.id).toBe(expected?.[0]);
    if (expected === undefined) return;
    const [row] = await w.db.sql`SELECT lease_token FROM ai_job WHERE job_id = ${expected[0]}`;
    expected[1].token = String(row?.["lease_token"]);
  }),
  onJob("legacyResult", async (w, _via, id) => {
    const name = w.model.jobs.get(id)?.holder ?? "old-1";
    const { body } = await w.broker.rest(
      "POST",
      "result",
      { job_id: id, status: "DONE", result: { step: w.step } },
      name,
    );
    expect((body as { detail: string }).detail).toBe(w.model.legacyReport(id, name, "DONE", `{"step": ${w.step}}`));
  }),
];

/** A stream's seats by the store, so that jobs of streams stand among those of calls. */
const STREAM = said(
  fc.tuple(fc.constantFrom("i1", "i2"), fc.integer({ min: 1, max: 2 })),
  "stream",
  async (w, _via, ...args) => {
    const [instanceId, count] = args;
    const hello = opening(instanceId, { workerId: "w1" });
    await openSessions(w.db.sql, "b1", [hello]);
    w.model.open(instanceId, hello.sessionId);
    const seats = Array(count).fill(hello);
    const expected = w.model.claimForSeats(seats, []);
    const leases = await claimSeats(w.db, seats, { types: [] });
    handedOut(
      w,
      "w1",
      expected,
      leases.map((l) => [l.jobId, l.token, l.attempt]),
    );
    await endSessions(w.db.sql, [hello]);
    w.model.end(hello);
  },
);

test(
  "any history of calls answers and leaves what the model says, whatever protocol each goes by",
  async ({ db, url }) => {
    await using broker = await startTestBroker(url, STILL);
    const workers = Object.values(transports(broker.url, WORKER_TOKEN));
    const producers = Object.values(transports(broker.url, API_TOKEN));
    const ways = workers.map((transport, at) => ({
      worker: createClient(WorkerService, transport),
      jobs: createClient(JobService, producers[at] ?? transport),
    }));
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.oneof(DISPATCH, ...OPERATORS) },
      { weight: 2, arbitrary: CLAIM },
      { weight: 6, arbitrary: fc.oneof(...WORKERS) },
      { weight: 1, arbitrary: STREAM },
    );
    const history = fc.tuple(DISPATCH, CLAIM, fc.noBias(fc.array(step, { maxLength: 40, size: "max" })));
    const property = fc.asyncProperty(history, async ([dispatched, claimed, more]) => {
      await db.sql`TRUNCATE ai_job, ai_result, ai_ready, ai_lease, ai_type_pause, ai_result_archive, ai_session`;
      const world: World = { db, broker, ways, model: new Model(), leases: [], step: 0 };
      for (const run of [dispatched, claimed, ...more]) {
        world.step++;
        await run(world);
        await expectSameRows(db, world.model);
      }
    });
    await fc.assert(property, { numRuns: RUNS, endOnFailure: false });
  },
  60_000 + RUNS * 2_000,
);

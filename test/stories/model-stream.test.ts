/**
 * One Work stream of a whole broker beside the model: random histories of dispatches, cancels, and the stream's own frames,
 * with every job that is pushed, every answer and every row compared. MODEL_RUNS=500 searches longer; a failure prints the
 * shortest history that it found.
 */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { CancelStatus, JobService, RetryStatus } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { expectSameRows } from "../store/model-rows.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { Model } from "../support/model.ts";
import { back, body, MAX_DELIVERIES, none, recent, STILL, stepsIn, word } from "../support/model-steps.ts";
import { openWork, type RawWork } from "../support/raw-work.ts";
import { withToken } from "../support/rpc-clients.ts";

const RUNS = Number(process.env["MODEL_RUNS"] ?? 12);
const WORKER = "w1";
/** A push that is missing makes each try of a shrinking history as long as this. */
const PUSH_WITHIN_MS = 2_000;

interface World {
  db: Parameters<typeof expectSameRows>[0];
  broker: TestBroker;
  jobs: ReturnType<typeof createClient<typeof JobService>>;
  model: Model;
  instance: string;
  work: RawWork;
  /** By which it can be seen that there was something to compare. */
  pushes: { count: number };
  session: string;
  seats: number;
  /** All that were ever pushed. */
  leases: { jobId: string; leaseToken: string }[];
  step: number;
}

type Step = (world: World) => Promise<void>;

const { said, onLease, onJob } = stepsIn<World>();

const seats = fc.integer({ min: 0, max: 3 });
const DISPATCH = said(fc.tuple(fc.array(body, { minLength: 1, maxLength: 3 })), "dispatch", async (w, bodies) => {
  const given = bodies.map((rest, n) => ({ id: `j${w.step}-${n}`, ...rest }));
  const { results } = await w.jobs.dispatch({ jobs: given.map((job) => ({ ...job, payloadJson: "{}" })) });
  const expected = w.model.dispatch(given.map((job) => ({ ...job, key: null })));
  expect(results.map(({ jobId, created }) => ({ jobId, created }))).toEqual(expected);
});

const OPERATORS = [
  onJob("cancel", none, async (w, id) => {
    const { results } = await w.jobs.cancelJobs({ jobIds: [id] });
    expect(word(CancelStatus, results[0]?.status)).toBe(w.model.cancel(id, "later"));
  }),
  onJob("retry", none, async (w, id) => {
    const { results } = await w.jobs.retryJobs({ jobIds: [id] });
    expect(word(RetryStatus, results[0]?.status)).toBe(w.model.retry(id));
  }),
];

const FRAMES = [
  onLease("report", fc.tuple(fc.boolean(), fc.boolean()), async (w, { jobId, leaseToken }, ok, retryable) => {
    const { AI_RESULT_STATUS_DONE: done, AI_RESULT_STATUS_FAILED: failed } = AIResultStatus;
    const resultJson = `{"step": ${w.step}}`;
    const result = { jobId, status: ok ? done : failed, error: ok ? "" : "it broke", resultJson };
    w.work.send({ reports: { id: BigInt(w.step), items: [{ leaseToken, result, retryable }] } });
    const { id, results } = await w.work.next("reportAck");
    const more = { retry: retryable, later: false };
    const expected = w.model.report(jobId, leaseToken, ok ? "DONE" : "FAILED", resultJson, more);
    expect([id, word(ReportStatus, results[0]?.status)]).toEqual([BigInt(w.step), expected]);
  }),
  onLease("release", none, async (w, lease) => {
    w.work.send({ release: { id: BigInt(w.step), leases: [lease] } });
    const { results } = await w.work.next("releaseAck");
    expect(results[0]?.released).toBe(w.model.release(lease.jobId, lease.leaseToken, MAX_DELIVERIES));
  }),
  onLease("heartbeat", none, async (w, lease) => {
    w.work.send({ heartbeat: { id: BigInt(w.step), leases: [lease] } });
    const { leases } = await w.work.next("heartbeatAck");
    expect(word(LeaseVerdict, leases[0]?.verdict)).toBe(w.model.heartbeat(lease.jobId, lease.leaseToken));
  }),
  said(fc.tuple(seats), "capacity", async (w, count) => {
    w.work.send({ capacity: { maxInFlight: count } });
    w.seats = count;
  }),
  /** The stream begins anew, with the old one cut or still open, and names some of what it has had. */
  said(fc.tuple(seats, fc.boolean(), fc.array(back, { maxLength: 3 })), "hello", async (w, count, cut, named) => {
    await using before = w.work;
    if (cut) before.destroy();
    const held = [...new Set(named.map((at) => recent(w.leases, at)).filter((lease) => lease !== undefined))];
    w.work = await openWork(w.broker.url);
    await begin(w, count, held);
    await before.ended;
  }),
];

/** Says Hello on the stream, and holds the Welcome to the model. */
async function begin(w: World, count: number, held: World["leases"]): Promise<void> {
  const welcome = await w.work.hello({ workerId: WORKER, instanceId: w.instance, maxInFlight: count, held });
  const isCurrent = ({ jobId, leaseToken }: World["leases"][0]) => w.model.jobs.get(jobId)?.token === leaseToken;
  w.model.reclaimUnheld(
    w.instance,
    held.filter(isCurrent).map(({ jobId }) => jobId),
  );
  const verdicts = held.map(({ jobId, leaseToken }) => w.model.heartbeat(jobId, leaseToken));
  expect(welcome.held.map(({ verdict }) => word(LeaseVerdict, verdict))).toEqual(verdicts);
  w.model.open(w.instance, welcome.sessionId);
  w.session = welcome.sessionId;
  w.seats = count;
}

/** What has come due, or what seats have come free, is pushed: to every free seat, and no more. */
async function pushed(w: World): Promise<void> {
  // Whatever was sent before has been taken in, acks of jobs included.
  const settle = async () => {
    w.work.send({ ping: { id: BigInt(w.step) } });
    await w.work.next("pong");
  };
  await settle();
  const expected = new Map<string, number>();
  for (;;) {
    const running = [...w.model.jobs.values()].filter(({ instance, status }) => {
      return status === "RUNNING" && instance === w.instance;
    });
    const seat = { workerId: WORKER, instanceId: w.instance, sessionId: w.session };
    const free = Math.max(0, w.seats - running.length);
    const claimed = w.model.claimForSeats(Array(free).fill(seat), []);
    for (const [id, job] of claimed) expected.set(id, job.attempts);
    if (claimed.length === 0) break;
  }
  while (expected.size > 0) {
    for (const { job, leaseToken, attempt } of (await w.work.next("jobs", PUSH_WITHIN_MS)).jobs) {
      const jobId = job?.id ?? "";
      expect([jobId, attempt]).toEqual([jobId, expected.get(jobId)]);
      expected.delete(jobId);
      const known = w.model.jobs.get(jobId);
      if (known !== undefined) known.token = leaseToken;
      w.leases.push({ jobId, leaseToken });
      w.pushes.count += 1;
    }
  }
  await settle();
}

test(
  "any history of a Work stream is pushed, answered and left as the model says",
  async ({ db, url }) => {
    await using broker = await startTestBroker(url, STILL);
    const jobs = createClient(
      JobService,
      createGrpcTransport({ baseUrl: broker.url, interceptors: [withToken(API_TOKEN)] }),
    );
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.oneof(DISPATCH, ...OPERATORS) },
      { weight: 5, arbitrary: fc.oneof(...FRAMES) },
    );
    let runs = 0;
    const pushes = { count: 0 };
    const holds = async (count: number, history: Step[]) => {
      await db.sql`TRUNCATE ai_job, ai_result, ai_ready, ai_lease, ai_type_pause, ai_result_archive`;
      const start = { session: "", seats: 0, leases: [], step: 0, work: await openWork(broker.url) };
      const w: World = { db, broker, jobs, pushes, model: new Model(), instance: `i${++runs}`, ...start };
      try {
        await begin(w, count, []);
        for (const run of history) {
          w.step++;
          await run(w);
          await pushed(w);
          await expectSameRows(db, w.model);
        }
      } finally {
        w.work.cancel();
        await w.work.ended;
        await w.work[Symbol.asyncDispose]();
      }
    };
    const property = fc.asyncProperty(seats, fc.noBias(fc.array(step, { maxLength: 40, size: "max" })), holds);
    // Before vitest's own end, so that the shortest history is shown.
    const limit = { interruptAfterTimeLimit: 50_000 + RUNS * 2_000, markInterruptAsFailure: true };
    await fc.assert(property, { numRuns: RUNS, endOnFailure: false, ...limit });
    expect(pushes.count).toBeGreaterThan(RUNS);
  },
  60_000 + RUNS * 2_000,
);

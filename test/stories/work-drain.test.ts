/** Farewells: a worker's Drain, and a broker that stops. Nothing new comes, what is under way ends well, every end is OK. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import { expect } from "vitest";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { statusOf } from "../support/jobs.ts";
import { doneItem } from "../support/raw-work.ts";
import { readError } from "../support/rpc-clients.ts";
import { until } from "../support/until.ts";
import {
  afterLooks,
  countsOf,
  dispatchAll,
  hearAll,
  heldBy,
  leaseOf,
  names,
  openWitness,
  openWorker,
  outcomes,
  receivedJobs,
  takeJob,
  takeJobs,
} from "../support/work-words.ts";

const OK = { code: 0 };

test("an idle worker that drains is let go at once", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  work.send({ drain: { reason: "deploy" } });
  expect(await work.ended).toEqual(OK);
  const open = () => db.sql`SELECT FROM ai_session WHERE ended_at IS NULL`;
  await until("its end is written", async () => (await open()).length === 0);
});

test("a worker that drains gets no new job; its stream ends after its last report, whose answer still arrives", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 2 });
  await dispatchAll(broker, names("j", 6));
  const [first, second] = await takeJobs(work, 2);
  work.send({ drain: {} });
  await hearAll(work);
  await work.report([first!]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["j1", "j2"]);
  const { results } = await work.report([second!]);
  expect(outcomes(results)).toEqual(["j2: ACCEPTED"]);
  expect(await work.ended).toEqual(OK);
  expect(await statusOf(db, "j3")).toBe("PENDING");
});

test("the answers to the last reports all arrive, also when they were sent in one breath, and one of them twice", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  for (let turn = 0; turn < 10; turn++) {
    await using work = await openWorker(broker, { maxInFlight: 3 });
    await dispatchAll(broker, names(`t${turn}-`, 3));
    const jobs = await takeJobs(work, 3);
    work.send({ drain: {} });
    for (const [at, job] of [...jobs, ...jobs.slice(2)].entries()) {
      work.send({ reports: { id: BigInt(at + 1), items: [doneItem(job)] } });
    }
    expect(await work.ended).toEqual(OK);
    const acks = work.received.flatMap(({ frame }) => (frame.case === "reportAck" ? [frame.value] : []));
    expect(acks.map(({ id }) => id)).toEqual([1n, 2n, 3n, 4n]);
    expect(acks[3]?.results[0]?.status).toBe(ReportStatus.DUPLICATE);
  }
});

test("a draining worker may also give its jobs back, or report them elsewhere: its stream ends then", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 2 });
  await dispatchAll(broker, ["a", "b"]);
  const [a, b] = await takeJobs(work, 2);
  work.send({ drain: {} });
  await other.worker.report({ workerId: "raw-1", items: [doneItem(a!)] });
  await hearAll(work);
  work.send({ release: { id: 4n, leases: [leaseOf(b!)] } });
  expect(await work.next("releaseAck")).toMatchObject({ id: 4n, results: [{ released: true }] });
  expect(await work.ended).toEqual(OK);
  expect(await countsOf(db, "b")).toEqual({ status: "PENDING", attempt: 0, deliveries: 1 });
});

test("a draining worker still heartbeats, and its Cancel still comes", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  work.send({ drain: {} });
  work.send({ heartbeat: { id: 1n, leases: [leaseOf(job)] } });
  expect((await work.next("heartbeatAck")).leases).toMatchObject([{ verdict: LeaseVerdict.CONTINUE }]);
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await work.next("cancel");
  expect(outcomes((await work.report([job])).results)).toEqual(["a: CANCELLED"]);
  expect(await work.ended).toEqual(OK);
});

test("a Capacity after the worker's own Drain is refused", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
  work.send({ drain: {} });
  work.send({ capacity: { maxInFlight: 3 } });
  expect(await work.ended).toMatchObject({ code: Code.FailedPrecondition, reason: "WORKER_DRAINING" });
});

test("a broker that stops tells idle workers where they stand and lets them go at once, before it closes anything", async ({
  db: _,
  url,
}) => {
  const broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "20000" });
  await using streams = new AsyncDisposableStack();
  const works = await Promise.all(names("w", 30).map((workerId) => openWorker(broker, { workerId })));
  for (const work of works) streams.use(work);
  const since = performance.now();
  const stopping = broker.stop();
  const delays = [];
  for (const work of works) {
    const { reconnectAfter, deadline, reason } = await work.next("drain");
    delays.push(reconnectAfter === undefined ? Number.NaN : durationMs(reconnectAfter));
    expect(deadline && durationMs(deadline)).toBe(16_000);
    expect(reason).not.toBe("");
    expect(await work.ended).toEqual(OK);
  }
  await stopping;
  expect(performance.now() - since).toBeLessThan(10_000);
  for (const delay of delays) expect(delay).toBeGreaterThanOrEqual(0);
  expect(Math.max(...delays)).toBeLessThanOrEqual(10_000);
  // Spread at random, so that the next broker is not overrun.
  expect(new Set(delays).size).toBeGreaterThan(5);
});

test("a busy worker may end its work while the broker stops: its report is answered, its stream ends OK, then all is closed", async ({
  db,
  url,
}) => {
  const broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "20000" });
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a", "b"]);
  const job = await takeJob(work);
  const stopping = broker.stop();
  await work.next("drain");
  work.send({ heartbeat: { id: 1n, leases: [{ ...leaseOf(job), progress: { percent: 90 } }] } });
  expect((await work.next("heartbeatAck")).leases).toMatchObject([{ verdict: LeaseVerdict.CONTINUE }]);
  // It says how much it takes, as it may: nothing comes of it.
  work.send({ capacity: { maxInFlight: 5 } });
  await hearAll(work);
  expect(outcomes((await work.report([job])).results)).toEqual(["a: ACCEPTED"]);
  expect(await work.ended).toEqual(OK);
  await stopping;
  expect(await statusOf(db, "a")).toBe("DONE");
  expect(receivedJobs(work)).toEqual(["a"]);
  expect(await countsOf(db, "b")).toEqual({ status: "PENDING", attempt: 0, deliveries: 0 });
});

test("past the deadline a stopping broker ends busy streams OK; the lease stays, and the work goes on elsewhere", async ({
  db,
  url,
}) => {
  const broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "1000" });
  await using other = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  await hearAll(work);
  const stopping = broker.stop();
  const { deadline } = await work.next("drain");
  expect(deadline && durationMs(deadline)).toBe(800);
  expect(await work.ended).toEqual(OK);
  await stopping;
  expect(await heldBy(db, work.instanceId)).toEqual(["a"]);
  await using after = await openWorker(other, { instanceId: work.instanceId, held: [leaseOf(job)] });
  expect(after.welcome.held).toMatchObject([{ verdict: LeaseVerdict.CONTINUE }]);
  expect(outcomes((await after.report([job])).results)).toEqual(["a: ACCEPTED"]);
  expect(await countsOf(db, "a")).toEqual({ status: "DONE", attempt: 1, deliveries: 1 });
});

test("a stopping broker takes no new stream: SHUTTING_DOWN, with RetryInfo, and nothing is written", async ({
  db,
  url,
}) => {
  const broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "20000" });
  await using busy = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(busy);
  // Streams of one connection, which the first of them keeps open.
  const open = () => {
    const requests =
      createWritableIterable<
        NonNullable<Parameters<typeof broker.worker.work>[0] extends AsyncIterable<infer T> ? T : never>
      >();
    return { requests, answers: broker.worker.work(requests)[Symbol.asyncIterator]() };
  };
  const hello = (workerId: string, instanceId: string) => ({
    frame: { case: "hello" as const, value: { workerId, instanceId, types: ["none"], maxInFlight: 1 } },
  });
  const early = open();
  const unread = open();
  const [answer] = await Promise.all([early.answers.next(), early.requests.write(hello("early", "early"))]);
  expect(answer.value?.frame.case).toBe("welcome");
  const stopping = broker.stop();
  await busy.next("drain");
  // One that was open already and says Hello only now, and one that opens only now.
  const late = open();
  for (const { requests, answers } of [unread, late]) {
    const refusal = answers.next().then(
      () => "was let in",
      (err: unknown) => readError(ConnectError.from(err)),
    );
    void requests.write(hello("late", "late")).catch(() => undefined);
    expect(await refusal).toMatchObject({
      code: Code.Unavailable,
      reason: "SHUTTING_DOWN",
      retryMs: expect.any(Number),
    });
  }
  await busy.report([job]);
  expect(await busy.ended).toEqual(OK);
  early.requests.close();
  await stopping;
  expect(await db.sql`SELECT FROM ai_session WHERE instance_id = 'late' AND ended_at IS NULL`).toHaveLength(0);
});

test("nothing comes after a Drain, though jobs wait and seats become free all the time", async ({ db: _, url }) => {
  const broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "20000" });
  await using streams = new AsyncDisposableStack();
  await dispatchAll(broker, names("j", 500));
  const works = await Promise.all(names("w", 8).map((workerId) => openWorker(broker, { workerId, maxInFlight: 3 })));
  const served = works.map(async (work) => {
    streams.use(work);
    for (;;) await work.report((await work.next("jobs")).jobs);
  });
  const over = served.map((loop) => loop.catch(() => undefined));
  await until("each has worked for a while", () => works.every((work) => receivedJobs(work).length > 6));
  await broker.stop();
  await Promise.all(over);
  for (const work of works) {
    expect(await work.ended).toEqual(OK);
    const kinds = work.received.map(({ frame }) => frame.case);
    expect(kinds.slice(kinds.indexOf("drain")).filter((kind) => kind === "jobs")).toEqual([]);
    expect(kinds).toContain("drain");
  }
});

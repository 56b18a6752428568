/** A worker hears at once that it is to stop, and why; nothing else is needed but its stream. */
import { expect } from "vitest";
import { CancelReason, LeaseVerdict } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expire, rowOf, statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import {
  dispatchAll,
  hearAll,
  heldBy,
  leaseOf,
  names,
  openWorker,
  outcomes,
  takeJob,
  takeJobs,
} from "../support/work-words.ts";

/** The rule is 100 ms; this machine may be busy with other things. */
const AT_ONCE_MS = 1_000;
const { CANCELLED, LOST } = CancelReason;

test.for(["same", "other"] as const)(
  "a cancel by the %s broker is pushed at once, with the lease and the reason",
  async (where, { db, url }) => {
    await using here = await startTestBroker(url);
    await using there = await startTestBroker(url);
    const caller = where === "same" ? here : there;
    await using work = await openWorker(here, { maxInFlight: 2 });
    await dispatchAll(here, ["a", "b"]);
    const [a, b] = await takeJobs(work, 2);
    const since = performance.now();
    await caller.jobs.cancelJobs({ jobIds: ["a"], reason: "student left" });
    expect(await work.next("cancel", AT_ONCE_MS)).toMatchObject({ ...leaseOf(a!), reason: CANCELLED });
    expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
    // It is still its own until it says that it has stopped, and takes its seat.
    expect(await heldBy(db, work.instanceId)).toEqual(["a", "b"]);
    expect(outcomes((await work.report([a!])).results)).toEqual(["a: CANCELLED"]);
    expect(await statusOf(db, "a")).toBe("CANCELLED");
    expect(outcomes((await work.report([b!])).results)).toEqual(["b: ACCEPTED"]);
    expect(work.received.filter(({ frame }) => frame.case === "cancel")).toHaveLength(1);
  },
);

test("many jobs of many workers are cancelled in one call: each worker hears of its own, and of no other", async ({
  db: _,
  url,
}) => {
  await using here = await startTestBroker(url);
  await using there = await startTestBroker(url);
  await using streams = new AsyncDisposableStack();
  const works = [];
  for (const [at, workerId] of names("w", 30).entries()) {
    works.push(streams.use(await openWorker(at % 2 === 0 ? here : there, { workerId, maxInFlight: 2 })));
  }
  await dispatchAll(here, names("j", 60));
  const held = await Promise.all(works.map((work) => takeJobs(work, 2)));
  const victims = held.map(([first]) => first?.job?.id ?? "");
  await here.jobs.cancelJobs({ jobIds: victims });
  for (const [at, work] of works.entries()) {
    expect(await work.next("cancel", 3_000)).toMatchObject({ jobId: victims[at], reason: CANCELLED });
    await hearAll(work);
    expect(work.received.filter(({ frame }) => frame.case === "cancel")).toHaveLength(1);
  }
});

test("a cancel is repeated by each heartbeat's verdict, over the stream and by unary, but pushed once", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await work.next("cancel");
  for (const id of [1n, 2n]) {
    work.send({ heartbeat: { id, leases: [leaseOf(job)] } });
    expect((await work.next("heartbeatAck")).leases).toMatchObject([{ verdict: LeaseVerdict.CANCEL }]);
  }
  const { leases } = await other.worker.heartbeat({ workerId: "raw-1", leases: [leaseOf(job)] });
  expect(leases.map(({ verdict }) => verdict)).toEqual([LeaseVerdict.CANCEL]);
  // Cancelled again: nothing new.
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await other.jobs.cancelJobs({ jobIds: ["a"] });
  await hearAll(work);
  expect(work.received.filter(({ frame }) => frame.case === "cancel")).toHaveLength(1);
});

test("a worker that comes back with a job that was cancelled meanwhile hears it in the Welcome, and may report it", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using before = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(before);
  await hearAll(before);
  before.destroy();
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await using after = await openWorker(other, { instanceId: before.instanceId, held: [leaseOf(job)] });
  expect(after.welcome.held).toMatchObject([{ verdict: LeaseVerdict.CANCEL }]);
  expect(outcomes((await after.report([job])).results)).toEqual(["a: CANCELLED"]);
  expect(await statusOf(db, "a")).toBe("CANCELLED");
});

test("a worker that does not stop loses the job after the grace, is told LOST, and its seat is free", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { CANCEL_GRACE_MS: "150" });
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a", "b"]);
  const job = await takeJob(work);
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  expect(await work.next("cancel")).toMatchObject({ ...leaseOf(job), reason: CANCELLED });
  expect(await work.next("cancel")).toMatchObject({ ...leaseOf(job), reason: LOST });
  expect(await statusOf(db, "a")).toBe("CANCELLED");
  expect((await takeJob(work)).job?.id).toBe("b");
});

test.for(["same", "other"] as const)(
  "a legacy worker's DONE by the %s broker takes the job: LOST is pushed at once, and the late report changes nothing",
  async (where, { db, url }) => {
    await using here = await startTestBroker(url);
    await using there = await startTestBroker(url);
    await using work = await openWorker(here, { maxInFlight: 1 });
    await dispatchAll(here, ["a"]);
    const job = await takeJob(work);
    const legacy = where === "same" ? here : there;
    await legacy.rest("POST", "result", { job_id: "a", status: "DONE", result: { by: "old" } });
    expect(await work.next("cancel", AT_ONCE_MS)).toMatchObject({ ...leaseOf(job), reason: LOST });
    expect(outcomes((await work.report([job], { by: "raw" })).results)).toEqual(["a: LEASE_LOST"]);
    const { job: stored } = await here.jobs.getJob({ jobId: "a" });
    expect(JSON.parse(stored?.result?.resultJson ?? "")).toEqual({ by: "old" });
    void db;
  },
);

test("a lease that runs out while its worker is connected is taken back: LOST is pushed, and the job goes on elsewhere", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  work.send({ capacity: { maxInFlight: 0 } });
  await hearAll(work);
  await expire(db, "a");
  expect(await work.next("cancel", 3_000)).toMatchObject({ ...leaseOf(job), reason: LOST });
  await using heir = await openWorker(broker, { workerId: "heir", maxInFlight: 1 });
  expect(await takeJob(heir)).toMatchObject({ attempt: 2, job: { id: "a" } });
});

test("a lease that another broker takes back is LOST, too", async ({ db, url }) => {
  // Only the second one looks for leases that ran out.
  await using here = await startTestBroker(url, { RECLAIM_EVERY_MS: "60000" });
  await using work = await openWorker(here, { maxInFlight: 1 });
  await dispatchAll(here, ["a"]);
  const job = await takeJob(work);
  work.send({ capacity: { maxInFlight: 0 } });
  await hearAll(work);
  await expire(db, "a");
  await using there = await startTestBroker(url);
  expect(await work.next("cancel", 3_000)).toMatchObject({ ...leaseOf(job), reason: LOST });
  expect(there.lines.some((line) => line.includes('"reclaim"'))).toBe(true);
});

test("a cancelled job that its worker gives back is CANCELLED, not handed out again", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(broker, ["acked", "unacked"]);
  const job = await takeJob(work);
  await broker.jobs.cancelJobs({ jobIds: ["acked", "unacked"] });
  await work.next("cancel");
  work.send({ release: { id: 1n, leases: [leaseOf(job)] }, ackSeq: work.seq() });
  expect((await work.next("releaseAck")).results).toMatchObject([{ released: true }]);
  expect(await rowOf(db, "acked")).toMatchObject({ status: "CANCELLED" });
  expect(await rowOf(db, "unacked")).toMatchObject({ status: "CANCELLED", deliveries: 0 });
});

test("a cancelled job that was never acked is CANCELLED when its stream ends", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await work.next("cancel");
  work.cancel();
  await until("it is over", async () => (await statusOf(db, "a")) === "CANCELLED", 3_000);
});

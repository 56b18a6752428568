/** A worker that comes back: what it acked it keeps, on any broker; what it does not name it has lost. */
import { expect } from "vitest";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, expire, rowOf, statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import {
  afterLooks,
  countsOf,
  dispatchAll,
  hearAll,
  heldBy,
  leaseOf,
  openWitness,
  openWorker,
  receivedJobs,
  takeJobs,
} from "../support/work-words.ts";

test("acked jobs outlive their stream and their broker: the worker goes on with them at another one", async ({
  db,
  url,
}) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using before = await openWorker(first, { maxInFlight: 2 });
  await dispatchAll(first, ["a", "b"]);
  const held = await takeJobs(before, 2);
  await hearAll(before);
  before.destroy();
  // Another worker is there and idle: it gets none of them.
  await using idle = await openWorker(second, { workerId: "idle" });
  await using witness = await openWitness(second);
  await afterLooks(db, witness);
  await hearAll(idle);
  expect(receivedJobs(idle)).toEqual([]);
  await first.stop();
  await afterLooks(db, witness);
  expect(receivedJobs(idle)).toEqual([]);
  await using after = await openWorker(second, { instanceId: before.instanceId, held: held.map(leaseOf) });
  expect(after.welcome.held.map(({ verdict }) => verdict)).toEqual([LeaseVerdict.CONTINUE, LeaseVerdict.CONTINUE]);
  const { results } = await after.report(held);
  expect(results.map(({ status }) => status)).toEqual([ReportStatus.ACCEPTED, ReportStatus.ACCEPTED]);
  for (const id of ["a", "b"]) expect(await countsOf(db, id)).toEqual({ status: "DONE", attempt: 1, deliveries: 1 });
  await expectNoDrift(db);
});

test("the Welcome's verdict prolongs the lease as a heartbeat does", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using before = await openWorker(broker);
  await dispatchAll(broker, ["a"]);
  const held = await takeJobs(before, 1);
  await hearAll(before);
  before.cancel();
  await db.sql`UPDATE ai_job SET lease_expires_at = now() + interval '5 seconds', move = move + 1`;
  await db.sql`UPDATE ai_lease SET expires_at = now() + interval '5 seconds'`;
  await using after = await openWorker(broker, { instanceId: before.instanceId, held: held.map(leaseOf) });
  const told = Number(after.welcome.held[0]?.leaseExpiresAt?.seconds) * 1_000;
  const { lease_expires_at: inJob } = await rowOf(db, "a");
  expect((inJob as Date).getTime()).toBeGreaterThan(Date.now() + 100_000);
  expect(Math.abs(told - (inJob as Date).getTime())).toBeLessThan(1_000);
  await expectNoDrift(db);
});

test("a worker that comes back after its lease ran out is told LOST, and what it reports changes nothing", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using before = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const held = await takeJobs(before, 1);
  await hearAll(before);
  before.destroy();
  await expire(db, "a");
  await using heir = await openWorker(broker, { workerId: "heir", maxInFlight: 1 });
  const [again] = await takeJobs(heir, 1);
  expect(again?.attempt).toBe(2);
  await using after = await openWorker(broker, {
    instanceId: before.instanceId,
    types: ["none"],
    held: held.map(leaseOf),
  });
  expect(after.welcome.held).toMatchObject([{ jobId: "a", verdict: LeaseVerdict.LOST }]);
  expect((await after.report(held)).results).toMatchObject([{ status: ReportStatus.LEASE_LOST }]);
  expect((await heir.report([again!])).results[0]?.status).toBe(ReportStatus.ACCEPTED);
});

test("a lease that the worker does not name goes back at once, with the attempt spent; the named one stays", async ({
  db,
  url,
}) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using before = await openWorker(first, { maxInFlight: 2 });
  await dispatchAll(first, ["a", "b"]);
  const [a] = await takeJobs(before, 2);
  await hearAll(before);
  before.destroy();
  await until("its stream is over", () => first.lines.some((line) => line.includes("of worker raw-1 ended")));
  // It has forgotten b: it started anew, or crashed.
  await using after = await openWorker(second, {
    instanceId: before.instanceId,
    types: ["none"],
    held: [leaseOf(a!)],
  });
  expect(after.welcome.held).toMatchObject([{ jobId: "a", verdict: LeaseVerdict.CONTINUE }]);
  await using heir = await openWorker(first, { workerId: "heir" });
  const [again] = await takeJobs(heir, 1, 3_000);
  expect(again).toMatchObject({ attempt: 2, job: { id: "b" } });
  expect(await heldBy(db, after.instanceId)).toEqual(["a"]);
  expect(await countsOf(db, "a")).toEqual({ status: "RUNNING", attempt: 1, deliveries: 1 });
});

test("a job of the last attempt that is not named any more is FAILED: the worker had its chance", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using before = await openWorker(broker);
  await dispatchAll(broker, ["a"], { maxAttempts: 1 });
  await takeJobs(before, 1);
  await hearAll(before);
  before.destroy();
  await using _after = await openWorker(broker, { instanceId: before.instanceId });
  expect(await statusOf(db, "a")).toBe("FAILED");
  expect((await rowOf(db, "a"))["error_message"]).toBe("max_attempts_exceeded");
});

test("another instance that comes up takes back nothing of this one's, though both are one worker id", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using before = await openWorker(broker, { workerId: "twins" });
  await dispatchAll(broker, ["a"]);
  await takeJobs(before, 1);
  await hearAll(before);
  before.destroy();
  await using witness = await openWitness(broker);
  await using other = await openWorker(broker, { workerId: "twins" });
  await afterLooks(db, witness);
  await hearAll(other);
  expect(receivedJobs(other)).toEqual([]);
  expect(await heldBy(db, before.instanceId)).toEqual(["a"]);
});

test("a lease that was got by a unary Claim may be brought along; it takes a seat and is not taken back", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await dispatchAll(broker, ["a", "b"]);
  const { jobs } = await broker.worker.claim({ workerId: "raw-1" });
  await using work = await openWorker(broker, { maxInFlight: 1, held: jobs.map(leaseOf) });
  expect(work.welcome.held).toMatchObject([{ jobId: "a", verdict: LeaseVerdict.CONTINUE }]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual([]);
  // It comes back once more, and has forgotten this one; only leases that were pushed to it go back.
  await using again = await openWorker(broker, { instanceId: work.instanceId, types: ["none"] });
  await hearAll(again);
  expect(await statusOf(db, "a")).toBe("RUNNING");
});

test("a job in flight unacked on a stream that still stands elsewhere costs no attempt when its worker comes back here", async ({
  db,
  url,
}) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using before = await openWorker(first, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(first, ["a"]);
  await takeJobs(before, 1);
  // The cable was out when the job came; the first broker does not know yet.
  before.silence();
  await using after = await openWorker(second, { instanceId: before.instanceId, maxInFlight: 1 });
  const [job] = await takeJobs(after, 1, 5_000);
  expect(job).toMatchObject({ attempt: 1, job: { id: "a" } });
  expect(await countsOf(db, "a")).toEqual({ status: "RUNNING", attempt: 1, deliveries: 2 });
});

test.for(["same", "other"] as const)(
  "an ack was lost on the way and its worker comes back with the lease, on the %s broker: the Welcome's verdict stays true",
  async (where, { db, url }) => {
    await using first = await startTestBroker(url);
    await using other = await startTestBroker(url);
    const second = where === "same" ? first : other;
    await using before = await openWorker(first, { maxInFlight: 1 }, { acks: false });
    await dispatchAll(first, ["a"]);
    const held = await takeJobs(before, 1);
    // It has the job and works on it; its ack never gets through.
    before.silence();
    before.send({ ackSeq: 1n });
    await using after = await openWorker(second, { instanceId: before.instanceId, held: held.map(leaseOf) });
    const verdict = after.welcome.held[0]?.verdict;
    await until("the first broker has ended the old stream", () =>
      first.lines.some((line) => line.includes("of worker raw-1 ended")),
    );
    await using witness = await openWitness(second);
    await afterLooks(db, witness);
    await hearAll(after);
    const { results } = await after.report(held);
    if (verdict === LeaseVerdict.CONTINUE) {
      expect(receivedJobs(after)).toEqual([]);
      expect(results).toMatchObject([{ status: ReportStatus.ACCEPTED }]);
    } else {
      expect(verdict).toBe(LeaseVerdict.LOST);
      expect(results).toMatchObject([{ status: ReportStatus.LEASE_LOST }]);
      await after.report(await takeJobs(after, 1));
    }
    // Either way it cost no attempt.
    expect(await countsOf(db, "a")).toMatchObject({ status: "DONE", attempt: 1 });
  },
);

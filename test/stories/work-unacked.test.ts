/** Jobs that a worker never acked go back at once, however its stream ends, and cost no attempt. */
import { describe, expect } from "vitest";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { rowOf, statusOf } from "../support/jobs.ts";
import { doneItem } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import {
  countsOf,
  dispatchAll,
  hearAll,
  idsOf,
  leaseOf,
  names,
  openWitness,
  openWorker,
  type Streaming,
  takeJobs,
} from "../support/work-words.ts";

const NO_ACKS = { acks: false };
/** Far below the lease's 120 s. */
const AT_ONCE_MS = 5_000;

const ends: Record<string, (work: Streaming, broker: TestBroker) => unknown> = {
  "the call is cancelled": (work) => work.cancel(),
  "the connection is destroyed": (work) => work.destroy(),
  "the worker closes its side without a Drain": (work) => work.end(),
  "the worker closes its side after a Drain": (work) => {
    work.send({ drain: {} });
    work.end();
  },
  "the worker breaks a rule": (work) => work.send({ capacity: { maxInFlight: -1 } }),
  "the broker stops": (_, broker) => broker.stop(),
};

describe("unacked jobs are at the next worker at once, with the first attempt, when", () => {
  test.for(Object.entries(ends))("%s", async ([, end], { db, url }) => {
    await using broker = await startTestBroker(url, { SHUTDOWN_TIMEOUT_MS: "600" });
    await using other = await startTestBroker(url);
    await using work = await openWorker(broker, { maxInFlight: 2 }, NO_ACKS);
    await dispatchAll(broker, ["a", "b"]);
    const lost = await takeJobs(work, 2);
    await using heir = await openWorker(other, { workerId: "heir" });
    const ended = end(work, broker);
    const jobs = await takeJobs(heir, 2, AT_ONCE_MS);
    expect(idsOf(jobs).sort()).toEqual(["a", "b"]);
    expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(await countsOf(db, "a")).toEqual({ status: "RUNNING", attempt: 1, deliveries: 2 });
    // The one that lost them can do no harm with what it has.
    const late = await other.worker.report({ workerId: "raw-1", items: lost.map((job) => doneItem(job)) });
    expect(late.results.map(({ status }) => status)).toEqual([5, 5]);
    await ended;
  });
});

test("only the frames after the newest ack go back; the others stay with the worker", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 3 }, NO_ACKS);
  await dispatchAll(broker, ["a"]);
  const acked = await takeJobs(work, 1);
  await dispatchAll(broker, ["b"]);
  acked.push(...(await takeJobs(work, 1)));
  expect(work.seq()).toBe(2n);
  work.send({ ackSeq: 2n });
  await dispatchAll(broker, ["c"]);
  await takeJobs(work, 1);
  // An older ack takes nothing back.
  work.send({ ackSeq: 1n });
  await hearAll(work);
  work.cancel();
  await until("c is back", async () => (await statusOf(db, "c")) === "PENDING", AT_ONCE_MS);
  expect(await countsOf(db, "c")).toEqual({ status: "PENDING", attempt: 0, deliveries: 1 });
  for (const id of ["a", "b"]) expect(await countsOf(db, id)).toEqual({ status: "RUNNING", attempt: 1, deliveries: 1 });
  const { results } = await broker.worker.report({ workerId: "raw-1", items: acked.map((job) => doneItem(job)) });
  expect(results.map(({ status }) => status)).toEqual([1, 1]);
});

describe("an ack may come with any message:", () => {
  const carriers: Record<string, Parameters<Streaming["send"]>[0]> = {
    "none at all": {},
    "a Capacity": { capacity: { maxInFlight: 1 } },
    "a Heartbeat": { heartbeat: { id: 1n, leases: [] } },
    "a Ping": { ping: { id: 0n } },
    "a Pong": { pong: { id: 0n } },
    "a Drain": { drain: {} },
  };
  test.for(Object.entries(carriers))("%s", async ([, frame], { db, url }) => {
    await using broker = await startTestBroker(url);
    await using work = await openWorker(broker, { maxInFlight: 1 }, NO_ACKS);
    await dispatchAll(broker, ["a", "b"]);
    await takeJobs(work, 1);
    work.send({ ...frame, ackSeq: 1n });
    await hearAll(work);
    work.cancel();
    await using heir = await openWorker(broker, { workerId: "heir", maxInFlight: 1 });
    expect(idsOf(await takeJobs(heir, 1))).toEqual(["b"]);
    await until("the stream is over", () => broker.lines.some((line) => line.includes("of worker raw-1 ended")));
    expect(await countsOf(db, "a")).toEqual({ status: "RUNNING", attempt: 1, deliveries: 1 });
  });
});

test("a report acks its job: the others of its frame go back, and the reported one stays done", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 2, types: ["ocr"] }, NO_ACKS);
  await broker.admin.pauseType({ type: "ocr" });
  await dispatchAll(broker, ["a", "b"]);
  await broker.admin.resumeType({ type: "ocr" });
  const [first] = await takeJobs(work, 2);
  // So that no claim is under way for the free seat when the stream ends.
  work.send({ capacity: { maxInFlight: 0 } });
  await work.report([first!]);
  work.cancel();
  await until("b is back", async () => (await statusOf(db, "b")) === "PENDING", AT_ONCE_MS);
  expect(await countsOf(db, "b")).toEqual({ status: "PENDING", attempt: 0, deliveries: 1 });
  expect(await countsOf(db, "a")).toEqual({ status: "DONE", attempt: 1, deliveries: 1 });
});

test("a worker that acks by its reports alone is no slow reader", async ({ db: _, url }) => {
  const ackMs = 400;
  await using broker = await startTestBroker(url, { WORK_ACK_TIMEOUT_MS: `${ackMs}` });
  await using work = await openWorker(broker, { maxInFlight: 1 }, NO_ACKS);
  const since = performance.now();
  for (let n = 0; performance.now() - since < 4 * ackMs; n++) {
    await dispatchAll(broker, [`j${n}`]);
    await work.report(await takeJobs(work, 1));
  }
  await hearAll(work);
});

test("reports alone make room for the next jobs, however large these are", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { MAX_ANSWER_BYTES: "20000" });
  await using work = await openWorker(broker, { maxInFlight: 1 }, NO_ACKS);
  const payloadJson = JSON.stringify({ text: "x".repeat(15_000) });
  // Many times what may be under way unacked.
  await dispatchAll(broker, names("j", 20), { payloadJson });
  for (let n = 0; n < 20; n++) await work.report(await takeJobs(work, 1));
});

test("a job that comes back unacked MAX_DELIVERIES times in a row is FAILED, with no attempt spent", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { MAX_DELIVERIES: "3" });
  await dispatchAll(broker, ["poison"]);
  for (let death = 1; death <= 3; death++) {
    await using work = await openWorker(broker, { maxInFlight: 1 }, NO_ACKS);
    expect((await takeJobs(work, 1))[0]?.attempt).toBe(1);
    work.destroy();
    const status = death < 3 ? "PENDING" : "FAILED";
    await until(`it is ${status}`, async () => (await statusOf(db, "poison")) === status, AT_ONCE_MS);
    expect(await countsOf(db, "poison")).toEqual({ status, attempt: 0, deliveries: death });
  }
  const row = await rowOf(db, "poison");
  expect(row["error_message"]).toBe("max_deliveries_exceeded");
  await using witness = await openWitness(broker);
  await hearAll(witness);
});

test("an attempt that is worked on begins the count of unacked returns anew", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { MAX_DELIVERIES: "2", BACKOFF_BASE_MS: "0" });
  await dispatchAll(broker, ["a"]);
  for (let turn = 0; turn < 3; turn++) {
    await using dies = await openWorker(broker, { maxInFlight: 1 }, NO_ACKS);
    await takeJobs(dies, 1);
    dies.cancel();
    await until("it is back", async () => (await statusOf(db, "a")) === "PENDING", AT_ONCE_MS);
    await using fails = await openWorker(broker, { maxInFlight: 1, workerId: "fails" });
    const [job] = await takeJobs(fails, 1);
    expect(job?.attempt).toBe(turn + 1);
    // Nobody takes it before the next turn.
    fails.send({ capacity: { maxInFlight: 0 } });
    const { leaseToken, jobId } = leaseOf(job!);
    fails.send({ reports: { id: 9n, items: [{ leaseToken, result: { jobId, status: 2, error: "it broke" } }] } });
    expect((await fails.next("reportAck")).results).toMatchObject([{ status: 2 }]);
  }
  expect(await countsOf(db, "a")).toEqual({ status: "PENDING", attempt: 3, deliveries: 6 });
});

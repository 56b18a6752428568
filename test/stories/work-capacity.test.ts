/** How much a streaming worker gets: capacity is absolute, by instance and by type, and nothing leaks. */
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import {
  afterLooks,
  dispatchAll,
  hearAll,
  heldBy,
  idsOf,
  leaseOf,
  names,
  openWitness,
  openWorker,
  receivedJobs,
  takeJobs,
  tally,
} from "../support/work-words.ts";

test("an instance gets as many jobs as it has seats, and one more for each that ends", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 3 });
  await dispatchAll(broker, names("j", 6));
  const [first, ...others] = await takeJobs(work, 3);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["j1", "j2", "j3"]);
  await work.report([first!]);
  expect(idsOf(await takeJobs(work, 1))).toEqual(["j4"]);
  const released = others.slice(0, 1).map(leaseOf);
  await broker.admin.pauseType({ type: "ocr" });
  work.send({ release: { id: 1n, leases: released } });
  await work.next("releaseAck");
  await broker.admin.resumeType({ type: "ocr" });
  // The oldest that waits: the one that was given back.
  expect(idsOf(await takeJobs(work, 1))).toEqual(["j2"]);
  await afterLooks(db, witness);
  expect(await heldBy(db, work.instanceId)).toEqual(["j2", "j3", "j4"]);
});

test("a Capacity is absolute: said again and again it gives no seat more", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 0 });
  await dispatchAll(broker, names("j", 9));
  for (let n = 0; n < 20; n++) work.send({ capacity: { maxInFlight: 2 } });
  await takeJobs(work, 2);
  for (let n = 0; n < 20; n++) work.send({ capacity: { maxInFlight: 2 } });
  await hearAll(work);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["j1", "j2"]);
});

test("0 pauses a stream and keeps what it has; a later Capacity goes on at once", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a", "b"]);
  const held = await takeJobs(work, 1);
  work.send({ capacity: { maxInFlight: 0 } });
  await work.report(held);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["a"]);
  work.send({ capacity: { maxInFlight: 1 } });
  expect(idsOf(await takeJobs(work, 1))).toEqual(["b"]);
});

test("lowering takes nothing back, and nothing comes before the worker has fewer than it now takes", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 4 });
  await dispatchAll(broker, names("j", 8));
  const held = await takeJobs(work, 4);
  work.send({ capacity: { maxInFlight: 2 } });
  for (const job of held.slice(0, 2)) await work.report([job]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toHaveLength(4);
  await work.report(held.slice(2, 3));
  expect(idsOf(await takeJobs(work, 1))).toEqual(["j5"]);
  await afterLooks(db, witness);
  expect(await heldBy(db, work.instanceId)).toEqual(["j4", "j5"]);
});

test("raising brings the difference at once", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, names("j", 8));
  await takeJobs(work, 1);
  work.send({ capacity: { maxInFlight: 5 } });
  expect(idsOf(await takeJobs(work, 4))).toEqual(["j2", "j3", "j4", "j5"]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toHaveLength(5);
});

test("a limit for a type holds within that of the instance, and other types have none of their own", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { types: ["ocr", "llm"], maxInFlight: 5, maxByType: { ocr: 2 } });
  await dispatchAll(broker, names("o", 6));
  await dispatchAll(broker, names("l", 6), { type: "llm" });
  const held = await takeJobs(work, 5);
  expect(idsOf(held).sort()).toEqual(["l1", "l2", "l3", "o1", "o2"]);
  await work.report(held.filter(({ job }) => job?.type === "llm").slice(0, 1));
  expect(idsOf(await takeJobs(work, 1))).toEqual(["l4"]);
  await work.report(held.filter(({ job }) => job?.type === "ocr").slice(0, 1));
  // The oldest that it may have: o3 came before l5.
  expect(idsOf(await takeJobs(work, 1))).toEqual(["o3"]);
  await afterLooks(db, witness);
  expect((await heldBy(db, work.instanceId)).sort()).toEqual(["l2", "l3", "l4", "o2", "o3"]);
});

test("limits for types change with each Capacity; one that is not named any more is gone", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, {
    types: ["ocr", "llm"],
    maxInFlight: 8,
    maxByType: { ocr: 0, llm: 1 },
  });
  await dispatchAll(broker, names("o", 6));
  await dispatchAll(broker, names("l", 6), { type: "llm" });
  expect(idsOf(await takeJobs(work, 1))).toEqual(["l1"]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["l1"]);
  work.send({ capacity: { maxInFlight: 8, maxByType: { ocr: 1, llm: 2 } } });
  expect(idsOf(await takeJobs(work, 2)).sort()).toEqual(["l2", "o1"]);
  work.send({ capacity: { maxInFlight: 8, maxByType: { llm: 2 } } });
  expect(idsOf(await takeJobs(work, 5))).toEqual(["o2", "o3", "o4", "o5", "o6"]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toHaveLength(8);
});

test("leases that a worker brings along take their seats, of the instance and of the type", async ({ db, url }) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using witness = await openWitness(second);
  await using before = await openWorker(first, { types: [], maxInFlight: 3 });
  await dispatchAll(first, ["o1", "o2"]);
  await dispatchAll(first, ["l1"], { type: "llm" });
  const held = await takeJobs(before, 3);
  await hearAll(before);
  before.destroy();
  await using work = await openWorker(second, {
    instanceId: before.instanceId,
    types: ["ocr", "llm"],
    maxInFlight: 4,
    maxByType: { ocr: 2 },
    held: held.map(leaseOf),
  });
  await dispatchAll(second, ["o3", "o4"]);
  await dispatchAll(second, ["l2", "l3"], { type: "llm" });
  expect(idsOf(await takeJobs(work, 1))).toEqual(["l2"]);
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual(["l2"]);
  await work.report(held.filter(({ job }) => job?.id === "o1"));
  expect(idsOf(await takeJobs(work, 1))).toEqual(["o3"]);
});

test("a worker that brings more leases than it now takes gets nothing until it has room", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using before = await openWorker(broker, { maxInFlight: 3 });
  await dispatchAll(broker, names("j", 5));
  const held = await takeJobs(before, 3);
  await hearAll(before);
  before.cancel();
  const more = { instanceId: before.instanceId, maxInFlight: 2, held: held.map(leaseOf) };
  await using work = await openWorker(broker, more);
  await work.report(held.slice(0, 1));
  await afterLooks(db, witness);
  await hearAll(work);
  expect(receivedJobs(work)).toEqual([]);
  await work.report(held.slice(1));
  expect(idsOf(await takeJobs(work, 2))).toEqual(["j4", "j5"]);
  expect(await tally(db)).toMatchObject({ states: { DONE: 3, RUNNING: 2 }, attempts: 1 });
});

test("a report or heartbeat that names another job's id frees no seat", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a", "b"]);
  const [job] = await takeJobs(work, 1);
  const leaseToken = job?.leaseToken ?? "";
  work.send({ heartbeat: { id: 1n, leases: [{ jobId: "b", leaseToken }] } });
  await work.next("heartbeatAck");
  work.send({ reports: { id: 2n, items: [{ leaseToken, result: { jobId: "never-there", status: 1 } }] } });
  await work.next("reportAck");
  work.send({ release: { id: 3n, leases: [{ jobId: "b", leaseToken }] } });
  expect((await work.next("releaseAck")).results).toMatchObject([{ jobId: "b", released: false }]);
  await afterLooks(db, witness);
  await hearAll(work);
  // The job is still its own, so it has all that it asked for.
  expect(await heldBy(db, work.instanceId)).toEqual(["a"]);
  expect(receivedJobs(work)).toEqual(["a"]);
});

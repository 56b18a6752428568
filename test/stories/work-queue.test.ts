/** Which job goes to which worker: the order of a claim, the least loaded first, and limits of types that overlap. */
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { givenJob } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import {
  afterLooks,
  dispatchAll,
  hearAll,
  heldBy,
  idsOf,
  names,
  openWitness,
  openWorker,
  receivedJobs,
  type Streaming,
  takeJob,
  takeJobs,
  tally,
} from "../support/work-words.ts";

/** The poll is 50 ms; the machine may be busy. */
const SOON_MS = 3_000;

test("jobs come in the order of a claim: smaller priority first, then older, whatever was dispatched first", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { types: ["ocr", "llm"], maxInFlight: 0 });
  await dispatchAll(broker, ["late"], { priority: 5 });
  await dispatchAll(broker, ["a", "b"]);
  await dispatchAll(broker, ["c"], { type: "llm" });
  await dispatchAll(broker, ["d"]);
  await dispatchAll(broker, ["first"], { priority: -1, type: "llm" });
  work.send({ capacity: { maxInFlight: 1 } });
  const order = [];
  for (let n = 0; n < 6; n++) {
    const job = await takeJob(work);
    order.push(job.job?.id);
    await work.report([job]);
  }
  expect(order).toEqual(["first", "a", "b", "c", "d", "late"]);
});

test("a frame's jobs are in claim order, too", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { types: ["ocr", "llm"], maxInFlight: 0 });
  await dispatchAll(broker, ["a"]);
  await dispatchAll(broker, ["b"], { type: "llm" });
  await dispatchAll(broker, ["c"], { priority: -3 });
  await dispatchAll(broker, ["d"]);
  work.send({ capacity: { maxInFlight: 3 } });
  expect(idsOf(await takeJobs(work, 3))).toEqual(["c", "a", "b"]);
});

test("of two free workers the one with less to do gets the job", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using busy = await openWorker(broker, { workerId: "busy" });
  await dispatchAll(broker, names("x", 3));
  await takeJobs(busy, 3);
  await using idle = await openWorker(broker, { workerId: "idle" });
  for (const [at, id] of ["a", "b", "c"].entries()) {
    await dispatchAll(broker, [id]);
    await until("it is out", async () => (await heldBy(db, idle.instanceId)).length === at + 1, SOON_MS);
  }
  await afterLooks(db, witness);
  expect(await heldBy(db, busy.instanceId)).toEqual(["x1", "x2", "x3"]);
});

test("many jobs at once are spread evenly over workers with equal room", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using streams = new AsyncDisposableStack();
  const works: Streaming[] = [];
  for (const workerId of names("w", 5)) works.push(streams.use(await openWorker(broker, { workerId })));
  await dispatchAll(broker, names("j", 20));
  await until("all are out", async () => (await tally(db)).states["RUNNING"] === 20);
  for (const work of works) expect(await heldBy(db, work.instanceId)).toHaveLength(4);
});

test("one job after another goes round among idle workers, not always to the same one", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using streams = new AsyncDisposableStack();
  const works: Streaming[] = [];
  for (const workerId of names("w", 3)) works.push(streams.use(await openWorker(broker, { workerId })));
  for (let n = 0; n < 12; n++) {
    await dispatchAll(broker, [`j${n}`]);
    const took = await until("somebody has it", () => works.find((work) => receivedJobs(work).includes(`j${n}`)));
    await took.report(await takeJobs(took, 1));
  }
  for (const work of works) expect(receivedJobs(work).length).toBeGreaterThan(1);
});

test("a worker that takes anything does not take the one job that a specialist is free for, and is given the rest", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using generalist = await openWorker(broker, { workerId: "any", types: [], maxInFlight: 1 });
  await using specialist = await openWorker(broker, { workerId: "ocr", types: ["ocr"], maxInFlight: 1 });
  // One is the older by its id alone: both are due at once.
  const jobs = [
    { id: "o", type: "ocr", payloadJson: "{}" },
    { id: "l", type: "llm", payloadJson: "{}" },
  ];
  await broker.jobs.dispatch({ jobs });
  expect((await takeJob(specialist)).job?.id).toBe("o");
  expect((await takeJob(generalist)).job?.id).toBe("l");
});

test("backlog first: what waited is pushed before what comes later, and no worker goes past an older job that it could take", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  const waited = [];
  for (const id of names("old", 30)) waited.push(await givenJob(db, { id }));
  await using streams = new AsyncDisposableStack();
  const works: Streaming[] = [];
  for (const workerId of names("w", 3)) works.push(streams.use(await openWorker(broker, { workerId, maxInFlight: 1 })));
  const order: string[] = [];
  let fresh = 0;
  while (order.length < 45) {
    await dispatchAll(broker, [`new${++fresh}`]);
    for (const work of works) {
      const job = await takeJob(work);
      order.push(job.job?.id ?? "");
      await work.report([job]);
    }
  }
  // With one seat each, what is out at a time may be noted in another order, no more.
  order.forEach((id, at) => {
    const due = id.startsWith("old") ? Number(id.slice(3)) : 30 + Number(id.slice(3));
    expect(Math.abs(due - 1 - at)).toBeLessThan(works.length * 2);
  });
});

test("a worker whose type has enough takes the oldest of its other types; an older one of the full type waits for a seat", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using full = await openWorker(broker, { types: ["ocr", "llm"], maxInFlight: 3, maxByType: { ocr: 1 } });
  await dispatchAll(broker, ["o1", "o2"]);
  const [o1] = await takeJobs(full, 1);
  await dispatchAll(broker, ["l1"], { type: "llm" });
  expect((await takeJob(full)).job?.id).toBe("l1");
  await afterLooks(db, witness);
  await hearAll(full);
  expect(receivedJobs(full)).toEqual(["o1", "l1"]);
  // Another worker could take it: it does.
  await using other = await openWorker(broker, { workerId: "other", maxInFlight: 1 });
  expect((await takeJob(other)).job?.id).toBe("o2");
  await full.report([o1!]);
});

test("limits of types overlap among workers: each gets what it may, all seats that can be filled are", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  const abc = ["a", "b", "c"];
  await using one = await openWorker(broker, {
    workerId: "one",
    types: abc,
    maxInFlight: 6,
    maxByType: { a: 2, b: 2 },
  });
  await using two = await openWorker(broker, {
    workerId: "two",
    types: ["a", "b"],
    maxInFlight: 3,
    maxByType: { a: 1 },
  });
  await using any = await openWorker(broker, { workerId: "any", types: [], maxInFlight: 5, maxByType: { b: 1, c: 0 } });
  for (const type of abc) await dispatchAll(broker, names(type, 12), { type });
  await until("all seats are filled", async () => (await tally(db)).states["RUNNING"] === 14, SOON_MS);
  await afterLooks(db, witness);
  for (const work of [one, two, any]) await hearAll(work);
  const count = (work: typeof one, type: string) => receivedJobs(work).filter((id) => id.startsWith(type)).length;
  expect(receivedJobs(one)).toHaveLength(6);
  expect(count(one, "a")).toBeLessThanOrEqual(2);
  expect(count(one, "b")).toBeLessThanOrEqual(2);
  expect(receivedJobs(two)).toHaveLength(3);
  expect(count(two, "a")).toBeLessThanOrEqual(1);
  expect(receivedJobs(any)).toHaveLength(5);
  expect(count(any, "b")).toBeLessThanOrEqual(1);
  expect(count(any, "c")).toBe(0);
});

test("a worker of any type gets types that nobody ever heard of, but those that it wants none of", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using any = await openWorker(broker, { types: [], maxInFlight: 10, maxByType: { unwanted: 0, witness: 0 } });
  await dispatchAll(broker, ["u"], { type: "unwanted" });
  await dispatchAll(broker, ["n"], { type: "brand-new" });
  expect((await takeJob(any)).job?.id).toBe("n");
  await givenJob(db, { id: "plain", type: "another-new" });
  expect((await takeJob(any, SOON_MS)).job?.id).toBe("plain");
  await afterLooks(db, witness);
  await hearAll(any);
  expect(receivedJobs(any)).toEqual(["n", "plain"]);
});

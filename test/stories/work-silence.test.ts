/** Is the other side still there? Pings both ways, and what becomes of a worker from which nothing comes. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { countsOf, dispatchAll, hearAll, heldBy, idsOf, openWorker, takeJob, takeJobs } from "../support/work-words.ts";

const QUICK = { WORK_PING_MS: "100", WORK_SILENCE_MS: "1500" };
const SILENCE_MS = 1_500;
/** A busy machine. */
const SLACK_MS = 4_000;
/** Who was seen is written every 5 s. */
const SEEN_MS = 15_000;

test("a worker's Ping is answered with its id, at any time and in order", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  for (const id of [7n, 3n, -1n, 9_007_199_254_740_993n]) work.send({ ping: { id } });
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push((await work.next("pong")).id);
  expect(ids).toEqual([7n, 3n, -1n, 9_007_199_254_740_993n]);
});

test("an idle worker that answers pings stays connected for many times the silence that would end it", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, QUICK);
  await using work = await openWorker(broker);
  const since = performance.now();
  const ids = [];
  while (performance.now() - since < 2.5 * SILENCE_MS) ids.push((await work.next("ping")).id);
  // Each ping has an id of its own.
  expect(new Set(ids).size).toBe(ids.length);
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
});

test("no ping is sent to a worker that speaks by itself", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, {
    WORK_PING_MS: "1000",
    WORK_SILENCE_MS: "9000",
    WORK_MAX_FRAMES_PER_SECOND: "1000000",
  });
  await using work = await openWorker(broker);
  const since = performance.now();
  while (performance.now() - since < 2_500) await hearAll(work);
  expect(work.received.filter(({ frame }) => frame.case === "ping").length).toBeLessThanOrEqual(1);
});

test("any message is a sign of life: a worker that never says Pong but acks stays", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, QUICK);
  await using work = await openWorker(broker, {}, { pongs: false });
  const since = performance.now();
  while (performance.now() - since < 2 * SILENCE_MS) {
    await work.next("ping");
    work.send({});
  }
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
});

test("workers from which nothing but pongs, bare acks or capacities come were seen just now", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, QUICK);
  await using pongs = await openWorker(broker, { workerId: "pongs" });
  await using acks = await openWorker(broker, { workerId: "acks" }, { pongs: false });
  await using capacities = await openWorker(broker, { workerId: "capacities" }, { pongs: false });
  const seenSince = async (ms: number) => {
    acks.send({});
    capacities.send({ capacity: { maxInFlight: 3 } });
    const { workers } = await broker.admin.listWorkers({});
    return workers.filter(
      ({ firstSeenAt, lastSeenAt: at }) => firstSeenAt !== undefined && at !== undefined && timestampMs(at) > ms,
    );
  };
  // Their Hellos, and what else had come by the first time that they were written down.
  await until("all are written down", async () => (await seenSince(0)).length === 3, SEEN_MS);
  const written = Math.max(...(await seenSince(0)).map(({ lastSeenAt: at }) => (at ? timestampMs(at) : 0)));
  await until("all were seen again", async () => (await seenSince(written)).length === 3, SEEN_MS);
  expect(pongs.received.some(({ frame }) => frame.case === "ping")).toBe(true);
});

test("a worker that reads but says nothing is pinged, then told WORKER_SILENT; its acked job stays its own", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, QUICK);
  await using work = await openWorker(broker, { maxInFlight: 2 }, { pongs: false, acks: false });
  await dispatchAll(broker, ["acked"]);
  await takeJob(work);
  work.send({ ackSeq: 1n });
  await hearAll(work);
  await dispatchAll(broker, ["unacked"]);
  await takeJob(work);
  const since = performance.now();
  expect(await work.ended).toMatchObject({
    code: Code.DeadlineExceeded,
    reason: "WORKER_SILENT",
    retryMs: expect.any(Number),
    message: expect.stringContaining("WORK_SILENCE_MS"),
  });
  expect(performance.now() - since).toBeGreaterThan(SILENCE_MS - 500);
  expect(performance.now() - since).toBeLessThan(SILENCE_MS + SLACK_MS);
  expect(work.received.filter(({ frame }) => frame.case === "ping").length).toBeGreaterThan(1);
  await until("the unacked job is back", async () => (await statusOf(db, "unacked")) === "PENDING");
  expect(await countsOf(db, "unacked")).toMatchObject({ attempt: 0, deliveries: 1 });
  expect(await heldBy(db, work.instanceId)).toEqual(["acked"]);
});

test("a half-open connection is found out: its seats are free, unacked jobs are at another worker, no stream is listed", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, QUICK);
  await using gone = await openWorker(broker, { workerId: "gone", maxInFlight: 3 });
  await dispatchAll(broker, ["acked"]);
  await takeJob(gone);
  await hearAll(gone);
  const since = performance.now();
  gone.silence();
  await dispatchAll(broker, ["b", "c"]);
  // Pushed into the void; nobody else is told of them yet.
  await until("they are out", async () => (await heldBy(db, gone.instanceId)).length === 3);
  await using heir = await openWorker(broker, { workerId: "heir" });
  const jobs = await takeJobs(heir, 2, SILENCE_MS + SLACK_MS);
  expect(performance.now() - since).toBeLessThan(SILENCE_MS + SLACK_MS);
  expect(idsOf(jobs).sort()).toEqual(["b", "c"]);
  expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 1]);
  expect(broker.lines.some((line) => line.includes('"gone"') && line.includes("WORKER_SILENT"))).toBe(true);
  expect(await heldBy(db, gone.instanceId)).toEqual(["acked"]);
  await until("its end is written", async () => {
    const { workers } = await broker.admin.listWorkers({});
    return workers.find(({ workerId }) => workerId === "gone")?.streams.length === 0;
  });
});

test("a half-open connection does not hold up the broker's stop", { timeout: 60_000 }, async ({ db: _, url }) => {
  const broker = await startTestBroker(url, { ...QUICK, SHUTDOWN_TIMEOUT_MS: "40000" });
  await using gone = await openWorker(broker, { workerId: "gone" });
  gone.silence();
  await until("it was found out", () => broker.lines.some((line) => line.includes("WORKER_SILENT")));
  const since = performance.now();
  await broker.stop();
  expect(performance.now() - since).toBeLessThan(15_000);
});

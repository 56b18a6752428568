/** A worker that does not read: what the broker keeps for it is bounded, it is ended, and its jobs go to others. */
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import {
  afterLooks,
  dispatchAll,
  names,
  openWitness,
  openWorker,
  receivedJobs,
  takeJobs,
  tally,
} from "../support/work-words.ts";

const MAX_ANSWER = 200_000;
const PAYLOAD = JSON.stringify({ text: "x".repeat(45_000) });
const SMALL = { MAX_ANSWER_BYTES: `${MAX_ANSWER}`, MAX_PAYLOAD_BYTES: "60000" };
const SLOW = { code: Code.ResourceExhausted, reason: "SLOW_READER", retryMs: expect.any(Number) };

/** Payload bytes that are out to an instance. */
async function bytesOut(db: Database, instanceId: string): Promise<number> {
  const [row] = await db.sql<{ bytes: number }[]>`
    SELECT coalesce(sum(octet_length(j.payload::text)), 0)::int AS bytes FROM ai_lease l JOIN ai_job j ON j.id = l.id
    WHERE l.instance_id = ${instanceId}`;
  return row?.bytes ?? 0;
}

const ended = (lines: readonly string[]) => () => lines.some((line) => line.includes("SLOW_READER"));

test("a worker that stops reading gets about two answers' worth of jobs, then SLOW_READER; others do its work", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { ...SMALL, WORK_ACK_TIMEOUT_MS: "2500" });
  await using witness = await openWitness(broker);
  await using slow = await openWorker(broker, { workerId: "slow", maxInFlight: 100 });
  slow.pause();
  await dispatchAll(broker, names("j", 40), { payloadJson: PAYLOAD });
  await until("something is out", async () => (await bytesOut(db, slow.instanceId)) > MAX_ANSWER);
  await afterLooks(db, witness);
  const out = await bytesOut(db, slow.instanceId);
  expect(out).toBeGreaterThan(MAX_ANSWER);
  expect(out).toBeLessThanOrEqual(3 * MAX_ANSWER);
  await until("it was ended", ended(broker.lines));
  slow.resume();
  expect(await slow.ended).toMatchObject(SLOW);
  expect(receivedJobs(slow).length).toBeLessThan(15);
  await using heir = await openWorker(broker, { workerId: "heir", maxInFlight: 100 });
  await takeJobs(heir, 40);
  expect(await tally(db)).toEqual({ states: { RUNNING: 40 }, attempts: 1 });
});

test("the window holds over all types of a worker together, however its limits lie", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { ...SMALL, WORK_ACK_TIMEOUT_MS: "20000" });
  await using witness = await openWitness(broker);
  const types = names("type", 8);
  for (const type of types) await dispatchAll(broker, names(`${type}-`, 4), { type, payloadJson: PAYLOAD });
  await using slow = await openWorker(broker, { workerId: "slow", types, maxInFlight: 0 });
  slow.pause();
  const maxByType = Object.fromEntries(types.map((type) => [type, 4]));
  slow.send({ capacity: { maxInFlight: 32, maxByType } });
  await until("something is out", async () => (await bytesOut(db, slow.instanceId)) > MAX_ANSWER);
  await afterLooks(db, witness);
  expect(await bytesOut(db, slow.instanceId)).toBeLessThanOrEqual(3 * MAX_ANSWER);
});

test("a worker that does read gets any amount of large jobs at once, of many types, and is not ended", {
  timeout: 60_000,
}, async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const types = names("type", 8);
  const payloadJson = JSON.stringify({ text: "x".repeat(900_000) });
  for (const type of types) {
    await dispatchAll(broker, names(`${type}-`, 3), { type, payloadJson });
  }
  const maxByType = Object.fromEntries(types.map((type) => [type, 3]));
  // grpc-js takes no message above 4 MiB: a Jobs frame must stay below.
  await using work = await openWorker(broker, { types, maxInFlight: 24, maxByType });
  await takeJobs(work, 24, 30_000);
});

test("a job larger than the whole window comes by itself", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { MAX_ANSWER_BYTES: "1024", MAX_PAYLOAD_BYTES: "60000" });
  await dispatchAll(broker, names("j", 3), { payloadJson: PAYLOAD });
  await using work = await openWorker(broker, { maxInFlight: 3 });
  await takeJobs(work, 3);
  const frames = work.received.filter(({ frame }) => frame.case === "jobs");
  expect(frames).toHaveLength(3);
});

test("a worker that reads but never acks is a slow reader, too", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { WORK_ACK_TIMEOUT_MS: "400" });
  await using work = await openWorker(broker, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(broker, ["a"]);
  await takeJobs(work, 1);
  const end = await work.ended;
  expect(end).toMatchObject({ ...SLOW, message: expect.stringContaining("ack") });
  await until("it is back", async () => (await tally(db)).states["PENDING"] === 1);
  expect(await tally(db)).toEqual({ states: { PENDING: 1 }, attempts: 0 });
});

test("a worker that acks in time is none, however long it works", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { WORK_ACK_TIMEOUT_MS: "600" });
  await using witness = await openWitness(broker);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const held = await takeJobs(work, 1);
  const since = performance.now();
  while (performance.now() - since < 2_000) await afterLooks(db, witness);
  expect((await work.report(held)).results).toHaveLength(1);
});

/** Lost leases with long names: the answer to each such heartbeat has some 70 KB. */
const MANY_LEASES = Array.from({ length: 1_000 }, (_, at) => ({ jobId: `${at}`.padStart(64, "x"), leaseToken: "t" }));

test("answers that pile up are bounded, too: a worker that asks and does not read is ended", {
  timeout: 60_000,
}, async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { ...SMALL, MAX_ANSWER_BYTES: "1024" });
  await using slow = await openWorker(broker, { workerId: "slow" });
  slow.pause();
  // Together more than twice what may wait.
  for (let id = 1n; id <= 150n; id++) slow.send({ heartbeat: { id, leases: MANY_LEASES } });
  await until("it was ended", ended(broker.lines), 40_000);
  slow.resume();
  expect(await slow.ended).toMatchObject(SLOW);
});

test("a stream whose worker never reads again is cut when its last words are over, and holds up no stop", {
  timeout: 60_000,
}, async ({ db: _, url }) => {
  const broker = await startTestBroker(url, { ...SMALL, WORK_ACK_TIMEOUT_MS: "1500", SHUTDOWN_TIMEOUT_MS: "40000" });
  await using slow = await openWorker(broker, { workerId: "slow", maxInFlight: 100 });
  slow.pause();
  await dispatchAll(broker, ["a"]);
  // More than the client takes off the wire while it is paused: the broker's writes are stuck.
  for (let id = 1n; id <= 40n; id++) slow.send({ heartbeat: { id, leases: MANY_LEASES } });
  await until("it was ended", ended(broker.lines), 20_000);
  const since = performance.now();
  await broker.stop();
  expect(performance.now() - since).toBeLessThan(15_000);
});

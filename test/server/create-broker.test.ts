/** A broker within a program: handlers are told at least once, in order, and go on where they were. */
import pino from "pino";
import { expect } from "vitest";
import { type BrokerEvent, createBroker } from "../../src/server/index.ts";
import { API_TOKEN, WORKER_TOKEN } from "../support/broker.ts";
import { freshDatabase, test } from "../support/db.ts";
import { done, failed, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { letWaitsPass } from "../support/webhooks.ts";

const logger = pino({ level: "silent" });

const settings = (url: string) => ({
  DATABASE_URL: url,
  PORT: "0",
  INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
  INTERNAL_API_TOKEN: API_TOKEN,
  WEBHOOK_POLL_MS: "20",
  SHUTDOWN_TIMEOUT_MS: "2000",
});

test("it tells operators its settings, and of its tokens only how many there are", async ({ db: _, url }) => {
  await using broker = createBroker({ settings: settings(url), logger });
  const { url: at } = await broker.start();
  const headers = { "x-worker-token": API_TOKEN, "content-type": "application/json" };
  const body = '{"includeSettings":true}';
  const answer = await fetch(`${at}/aibroker.v1.AdminService/GetServerInfo`, { method: "POST", headers, body });
  const info = (await answer.json()) as { settings: { name: string; value: string }[] };
  expect(info.settings).toContainEqual(expect.objectContaining({ name: "WEBHOOK_POLL_MS", value: "20" }));
  expect(info.settings).toContainEqual(expect.objectContaining({ name: "INTERNAL_API_TOKEN", value: "1 set" }));
  expect(JSON.stringify(info)).not.toMatch(API_TOKEN);
});

test("a handler is told of what it asks for, with the result", async ({ db, url }) => {
  const told: BrokerEvent[] = [];
  await using broker = createBroker({ settings: settings(url), logger });
  broker.on("done", { types: ["ocr"] }, (event) => void told.push(event));
  await broker.start();
  await givenJob(db, { id: "other", type: "math" });
  await reportAll(db, done(await givenLease(db)));
  await givenJob(db, { id: "a", tenantId: "t" });
  await reportAll(db, done(await givenLease(db), { result: '{"n": 12345678901234567890}' }));
  await until("it is told", () => told.length > 0);
  expect(told).toEqual([
    {
      ...{ eventId: expect.stringMatching(/^evt_/), jobId: "a", seq: 3, kind: "done", type: "ocr", status: "DONE" },
      ...{ attempt: 1, tenantId: "t", sourceDomain: null, sourceId: null, workerId: "w1", error: null },
      ...{ at: expect.any(Date), resultJson: '{"n": 12345678901234567890}', resultOmitted: null },
    },
  ]);
});

test("what a handler throws has the event told again, with the same id, before the job's next one", async ({
  db,
  url,
}) => {
  const told: [string, string][] = [];
  await using broker = createBroker({ settings: settings(url), logger });
  broker.on(["failed", "retried", "done"], { name: "grade" }, ({ eventId, kind }) => {
    told.push([eventId, kind]);
    if (told.length === 1) throw new Error("not now");
  });
  await broker.start();
  await givenJob(db, { id: "a" });
  await reportAll(db, failed(await givenLease(db), { retryable: false }));
  await until("it was told once", () => told.length === 1);
  await until("its failure is written down", async () => {
    const [row] = await db.sql`SELECT last_error FROM ai_delivery`;
    return row?.["last_error"] === "the handler threw: not now";
  });
  await letWaitsPass(db);
  await until("it was told again", () => told.length === 2);
  expect(told[0]).toEqual(told[1]);
});

test("a handler that takes too long has failed, and its signal says so", async ({ db, url }) => {
  const { promise: cut, resolve } = Promise.withResolvers<unknown>();
  await using broker = createBroker({ settings: settings(url), logger });
  broker.on("done", { timeoutMs: 30 }, (_event, signal) => {
    signal.addEventListener("abort", () => resolve(signal.reason));
    return new Promise(() => undefined);
  });
  await broker.start();
  await givenJob(db);
  await reportAll(db, done(await givenLease(db)));
  expect(await cut).toMatchObject({ name: "TimeoutError" });
  await until("it has failed", async () => {
    const [row] = await db.sql`SELECT last_error FROM ai_delivery`;
    return row?.["last_error"] === "the handler took more than 30 ms";
  });
});

test("a handler gets what happened while no broker ran, and of two brokers one tells it", async ({ db, url }) => {
  const told: string[] = [];
  const start = async () => {
    const broker = createBroker({ settings: settings(url), logger });
    broker.on("done", { name: "grade" }, ({ jobId }) => void told.push(jobId));
    await broker.start();
    return broker;
  };
  await (await start()).stop();
  for (const id of ["a", "b", "c", "d"]) {
    await givenJob(db, { id });
    await reportAll(db, done(await givenLease(db)));
  }
  await using _one = await start();
  await using _two = await start();
  await until("all are told", () => told.length >= 4);
  expect([...told].sort()).toEqual(["a", "b", "c", "d"]);
});

test("wrong settings, names and kinds are refused before anything starts", async ({ url }) => {
  expect(() => createBroker({ settings: { LEASE_TTL_MS: "soon" } })).toThrow("LEASE_TTL_MS");
  const broker = createBroker({ settings: settings(url), logger });
  const handler = () => undefined;
  broker.on("done", handler);
  expect(() => broker.on("done", handler)).toThrow("two handlers named done");
  expect(() => broker.on("failed", { name: "a b" }, handler)).toThrow("name is 1..50");
  expect(() => broker.on("finished" as never, handler)).toThrow("no event is of the kind finished");
  await expect(createBroker({ settings: { PORT: "0" } }).start()).rejects.toThrow("DATABASE_URL");
  await broker.stop();
});

test("an empty database is refused, or migrated where that is asked for", async () => {
  const empty = await freshDatabase({ empty: true });
  await expect(createBroker({ settings: settings(empty.url), logger }).start()).rejects.toThrow(/migrate/);
  await using broker = createBroker({ settings: settings(empty.url), logger, migrate: true });
  expect((await broker.start()).url).toMatch(/^http:/);
  expect(() => broker.on("done", () => undefined)).toThrow("before start");
  await broker.stop();
  await empty.drop();
});

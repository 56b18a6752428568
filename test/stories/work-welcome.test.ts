/** How a Work stream begins: the Welcome, the verdicts in it, and beginnings that are refused. */
import { Code } from "@connectrpc/connect";
import { describe, expect } from "vitest";
import { LeaseVerdict } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { API_TOKEN, startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expire, statusOf } from "../support/jobs.ts";
import { openWork, type Sent } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { countsOf, dispatchAll, hearAll, leaseOf, openWorker, takeJobs } from "../support/work-words.ts";

test("the Welcome comes at once, on an empty queue, and says all that a worker needs", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, {
    LEASE_TTL_MS: "90000",
    WORK_PING_MS: "7000",
    WORK_SILENCE_MS: "21500",
    WORK_MAX_FRAMES_PER_SECOND: "77",
    MAX_RESULT_BYTES: "1000000",
    MAX_REQUEST_BYTES: "2000000",
    MAX_PAYLOAD_BYTES: "1000000",
  });
  await using work = await openWork(broker.url);
  const welcome = await work.hello({ workerId: "w1", instanceId: "copy-1", types: ["ocr"], maxInFlight: 2 });
  const { instanceId: brokerId } = await broker.admin.getServerInfo({});
  expect(welcome).toMatchObject({
    instanceId: "copy-1",
    brokerId,
    leaseTtl: { seconds: 90n, nanos: 0 },
    heartbeatInterval: { seconds: 30n, nanos: 0 },
    pingInterval: { seconds: 7n, nanos: 0 },
    silenceTimeout: { seconds: 21n, nanos: 500_000_000 },
    maxResultBytes: 1_000_000n,
    maxRequestBytes: 2_000_000n,
    maxFramesPerSecond: 77,
    held: [],
  });
  expect(work.received).toHaveLength(1);
  expect(work.seq()).toBe(0n);
  const { workers } = await broker.admin.listWorkers({});
  expect(workers.find(({ workerId }) => workerId === "w1")?.streams).toMatchObject([
    { instanceId: "copy-1", sessionId: welcome.sessionId, brokerId, maxInFlight: 2 },
  ]);
});

test("each stream has a session id of its own, and the broker names an instance that has no name", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using first = await openWorker(broker, { instanceId: "" });
  await using second = await openWorker(broker, { instanceId: "" });
  expect(first.welcome.instanceId).not.toBe("");
  expect(first.welcome.instanceId).not.toBe(second.welcome.instanceId);
  expect(first.welcome.sessionId).not.toBe(second.welcome.sessionId);
  // Both are there: neither took the other for itself.
  await hearAll(first);
  await hearAll(second);
});

test("the Welcome is the first message, also where jobs are due and leases are to be cancelled", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await dispatchAll(broker, ["a", "b"]);
  await using before = await openWorker(broker, { maxInFlight: 1 });
  const held = await takeJobs(before, 1);
  // So that the ack is there.
  await hearAll(before);
  before.destroy();
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await using work = await openWorker(broker, { instanceId: before.instanceId, held: held.map(leaseOf) });
  await takeJobs(work, 1);
  expect(work.received[0]?.frame.case).toBe("welcome");
  expect(work.welcome.held).toMatchObject([{ jobId: "a", verdict: LeaseVerdict.CANCEL }]);
});

test("the Welcome has a verdict for each lease that the worker says it holds, in the order of the Hello", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using before = await openWorker(broker, { maxInFlight: 4 });
  await dispatchAll(broker, ["kept", "stopped", "expired", "done"]);
  const jobs = await takeJobs(before, 4);
  const [kept, stopped, expired, done] = jobs.map(leaseOf);
  await before.report(jobs.slice(3));
  before.destroy();
  await broker.jobs.cancelJobs({ jobIds: ["stopped"] });
  await expire(db, "expired");
  await until("the lease was taken back", async () => (await statusOf(db, "expired")) === "PENDING");
  const unknown = { jobId: "never-there", leaseToken: "x" };
  const held = [expired, kept, unknown, stopped, done, { jobId: "kept", leaseToken: "not-its-token" }].map(
    (lease) => lease ?? unknown,
  );
  const asked = Date.now();
  await using work = await openWorker(broker, { instanceId: before.instanceId, types: ["none"], held });
  const { CONTINUE, CANCEL, LOST } = LeaseVerdict;
  expect(work.welcome.held.map(({ jobId, verdict }) => [jobId, verdict])).toEqual([
    ["expired", LOST],
    ["kept", CONTINUE],
    ["never-there", LOST],
    ["stopped", CANCEL],
    ["done", LOST],
    ["kept", LOST],
  ]);
  for (const { verdict, leaseExpiresAt } of work.welcome.held) {
    // The database's clock is this machine's.
    if (verdict === LOST) expect(leaseExpiresAt).toBeUndefined();
    else expect(Number(leaseExpiresAt?.seconds) * 1_000).toBeGreaterThan(asked + 110_000);
  }
  // What it holds it still holds, with the same attempt.
  expect(await countsOf(db, "kept")).toEqual({ status: "RUNNING", attempt: 1, deliveries: 1 });
});

describe("a stream whose first message is not a Hello", () => {
  const others: Record<string, Sent> = {
    "a bare ack": {},
    "a capacity": { capacity: { maxInFlight: 1 } },
    "a heartbeat": { heartbeat: { leases: [] } },
    "a report": { reports: { items: [{ leaseToken: "t", result: { jobId: "j", status: 1 } }] } },
    "a release": { release: { leases: [{ jobId: "j", leaseToken: "t" }] } },
    "a drain": { drain: {} },
    "a ping": { ping: { id: 1n } },
    "a pong": { pong: { id: 1n } },
  };
  test.for(Object.entries(others))("%s: INVALID_ARGUMENT, and it says what must come", async ([, sent], { url }) => {
    await using broker = await startTestBroker(url);
    await using work = await openWork(broker.url, { acks: false });
    work.send(sent);
    expect(await work.ended).toMatchObject({
      code: Code.InvalidArgument,
      reason: "BAD_FIELD",
      fields: ["frame", "frame"],
      message: expect.stringMatching(/first message.*hello/),
    });
    expect(work.received).toEqual([]);
  });
});

/** Its Hello may have come to a broker that was too busy to read it, and then nobody has made a mistake. */
test("a stream that says nothing at all is ended, told what was missing, and may come again", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, { WORK_PING_MS: "50", WORK_SILENCE_MS: "200" });
  await using work = await openWork(broker.url);
  expect(await work.ended).toMatchObject({
    code: Code.DeadlineExceeded,
    reason: "WORKER_SILENT",
    retryMs: expect.any(Number),
    message: expect.stringContaining("no hello came for 200 ms"),
  });
});

test("a Hello that has come is not late, however long the database takes over it", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { WORK_PING_MS: "50", WORK_SILENCE_MS: "200" });
  await using work = await openWork(broker.url);
  const opened = await db.sql.begin(async (tx) => {
    await tx`LOCK TABLE ai_session IN ACCESS EXCLUSIVE MODE`;
    const since = performance.now();
    const welcome = work.hello();
    await until("it waits for the lock", async () => {
      const waiting = await tx`SELECT FROM pg_locks WHERE relation = 'ai_session'::regclass AND NOT granted`;
      return waiting.length > 0;
    });
    await until("twice the time of a Hello is over", () => performance.now() - since > 400);
    return { welcome };
  });
  expect(await opened.welcome).toMatchObject({ instanceId: expect.any(String) });
});

test("a second Hello ends the stream, and the job that was never acked goes back unburnt", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(broker, ["a"]);
  await takeJobs(work, 1);
  work.send({ hello: { workerId: "raw-1", instanceId: work.instanceId, types: ["ocr"], maxInFlight: 9 } });
  expect(await work.ended).toMatchObject({
    code: Code.InvalidArgument,
    reason: "BAD_FIELD",
    fields: ["hello", "hello"],
  });
  await until("it is back", async () => (await statusOf(db, "a")) === "PENDING");
  expect(await countsOf(db, "a")).toEqual({ status: "PENDING", attempt: 0, deliveries: 1 });
});

describe("who may open a stream", () => {
  const NOBODY = { code: Code.Unauthenticated, reason: "BAD_TOKEN" };
  test.for([
    ["no token", "", NOBODY],
    ["an unknown token", "not-a-token", NOBODY],
    ["a producer's token", API_TOKEN, { code: Code.PermissionDenied, reason: "WRONG_ROLE" }],
  ] as const)(
    "%s: refused before anything is sent, and no session is written",
    async ([, token, refusal], { db, url }) => {
      await using broker = await startTestBroker(url);
      await using silent = await openWork(broker.url, { token });
      expect(await silent.ended).toMatchObject(refusal);
      await using eager = await openWork(broker.url, { token });
      const hello = eager.hello({ types: ["ocr"], maxInFlight: 1 });
      await expect(hello).rejects.toThrow(/no welcome/);
      expect(await eager.ended).toMatchObject(refusal);
      expect(await db.sql`SELECT FROM ai_session`).toHaveLength(0);
    },
  );
});

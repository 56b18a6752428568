/** Heartbeats, reports and releases of pushed jobs: over the stream or by unary calls, on any broker, mid-stream. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect } from "vitest";
import { AIResultStatus, type ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, type ReportItemSchema, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, expire, rowOf, statusOf } from "../support/jobs.ts";
import { doneItem } from "../support/raw-work.ts";
import {
  dispatchAll,
  hearAll,
  idsOf,
  leaseOf,
  openWorker,
  outcomes,
  type Streaming,
  takeJob,
  takeJobs,
} from "../support/work-words.ts";

const FAILED = AIResultStatus.AI_RESULT_STATUS_FAILED;
/** By message, not by the brokers' slow look at what messages did not tell. */
const QUICK_MS = 4_000;

interface Scene {
  work: Streaming;
  job: ClaimedJob;
  here: TestBroker;
  there: TestBroker;
  /** A second stream, on the other broker. */
  second: Streaming;
  db: Parameters<typeof rowOf>[0];
}

type Item = MessageInitShape<typeof ReportItemSchema>;

const items = (job: ClaimedJob): Item[] => [doneItem(job)];
const failing = (job: ClaimedJob, retryDelay?: { seconds?: bigint; nanos?: number }): Item => ({
  leaseToken: job.leaseToken,
  result: { jobId: job.job?.id ?? "", status: FAILED, error: "no" },
  retryable: retryDelay !== undefined,
  retryDelay,
});
const unary = (broker: TestBroker, job: ClaimedJob) => broker.worker.report({ workerId: "raw-1", items: items(job) });

/** How the first job ends; the worker's only seat is free then. */
const endings: Record<string, (scene: Scene) => unknown> = {
  "a report over the stream": ({ work, job }) => work.report([job]),
  "a report of a failure over the stream": ({ work, job }) => {
    work.send({ reports: { id: 1n, items: [failing(job)] } });
  },
  "a unary report on the same broker": ({ here, job }) => unary(here, job),
  "a unary report on the other broker": ({ there, job }) => unary(there, job),
  "a report over another stream, on the other broker": ({ second, job }) => second.report([job]),
  "a legacy DONE on the same broker": ({ here, job }) => legacyDone(here, job),
  "a legacy DONE on the other broker": ({ there, job }) => legacyDone(there, job),
  "a lease that ran out": ({ db, job }) => expire(db, job.job?.id ?? ""),
};

async function legacyDone(broker: TestBroker, job: ClaimedJob): Promise<void> {
  const posted = await broker.rest("POST", "result", { job_id: job.job?.id, status: "DONE", result: { by: "old" } });
  expect(posted.body).toEqual({ ok: true, detail: "done" });
}

describe("the seat is free, and the next job comes, quickly after", () => {
  test.for(Object.entries(endings))("%s", async ([, end], { db, url }) => {
    await using here = await startTestBroker(url);
    await using there = await startTestBroker(url);
    await using work = await openWorker(here, { maxInFlight: 1 });
    await using second = await openWorker(there, { types: ["none"] });
    await dispatchAll(here, ["a"]);
    const job = await takeJob(work);
    await dispatchAll(here, ["b"], { priority: -1 });
    await end({ work, job, here, there, second, db });
    expect((await takeJob(work, QUICK_MS)).job?.id).toBe("b");
    await expectNoDrift(db);
  });

  const releases: Record<string, (scene: Omit<Scene, "db">) => unknown> = {
    "a release over the stream": ({ work, job }) => work.send({ release: { id: 1n, leases: [leaseOf(job)] } }),
    "a unary release on the same broker": ({ here, job }) =>
      here.worker.release({ workerId: "raw-1", leases: [leaseOf(job)] }),
    "a unary release on the other broker": ({ there, job }) =>
      there.worker.release({ workerId: "raw-1", leases: [leaseOf(job)] }),
    "a release over another stream, on the other broker": ({ second, job }) =>
      second.send({ release: { id: 1n, leases: [leaseOf(job)] } }),
  };
  test.for(Object.entries(releases))("%s, and the job itself is unburnt", async ([, end], { db, url }) => {
    await using here = await startTestBroker(url);
    await using there = await startTestBroker(url);
    await using work = await openWorker(here, { maxInFlight: 1 });
    await using second = await openWorker(there, { types: ["none"] });
    await dispatchAll(here, ["a"]);
    const job = await takeJob(work);
    await end({ work, job, here, there, second });
    const again = await takeJob(work, QUICK_MS);
    expect(again).toMatchObject({ attempt: 1, job: { id: "a" } });
    expect(again.leaseToken).not.toBe(job.leaseToken);
    await expectNoDrift(db);
  });
});

test("a heartbeat over the stream prolongs, stores progress, and answers each lease in its order, with its id", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  await dispatchAll(broker, ["a"]);
  const a = await takeJob(work);
  await dispatchAll(broker, ["b"]);
  const b = await takeJob(work);
  const before = a.leaseExpiresAt?.seconds ?? 0n;
  await broker.jobs.cancelJobs({ jobIds: ["b"] });
  await db.sql`UPDATE ai_job SET lease_expires_at = now() + interval '9 seconds', move = move + 1 WHERE job_id = 'a'`;
  await db.sql`UPDATE ai_lease SET expires_at = now() + interval '9 seconds'`;
  const progress = { percent: 40, note: "page 2" };
  const leases = [leaseOf(b), { jobId: "a", leaseToken: "stale" }, { ...leaseOf(a), progress }];
  work.send({ heartbeat: { id: 77n, leases } });
  const ack = await work.next("heartbeatAck");
  expect(ack).toMatchObject({
    id: 77n,
    leases: [
      { jobId: "b", verdict: LeaseVerdict.CANCEL },
      { jobId: "a", verdict: LeaseVerdict.LOST },
      { jobId: "a", verdict: LeaseVerdict.CONTINUE },
    ],
  });
  expect(ack.retryAfter).toBeUndefined();
  expect(ack.leases[2]?.leaseExpiresAt?.seconds).toBeGreaterThanOrEqual(before);
  expect((await broker.jobs.getJob({ jobId: "a" })).job?.progress).toMatchObject(progress);
  work.send({ heartbeat: { id: 78n, leases: [] } });
  expect(await work.next("heartbeatAck")).toMatchObject({ id: 78n, leases: [] });
});

test("a pushed job is kept alive by unary heartbeats on the other broker, well past its first lease", async ({
  db,
  url,
}) => {
  await using here = await startTestBroker(url, { LEASE_TTL_MS: "1500" });
  await using there = await startTestBroker(url, { LEASE_TTL_MS: "1500" });
  await using work = await openWorker(here, { maxInFlight: 1 });
  await dispatchAll(here, ["a"]);
  const job = await takeJob(work);
  const first = job.leaseExpiresAt;
  const firstMs = Number(first?.seconds) * 1_000 + Number(first?.nanos) / 1e6;
  // The database's clock is this machine's.
  while (Date.now() < firstMs + 200) {
    const { leases } = await there.worker.heartbeat({ workerId: "raw-1", leases: [leaseOf(job)] });
    expect(leases.map(({ verdict }) => verdict)).toEqual([LeaseVerdict.CONTINUE]);
  }
  await hearAll(work);
  expect(work.received.map(({ frame }) => frame.case)).not.toContain("cancel");
  expect((await work.report([job])).results[0]?.status).toBe(ReportStatus.ACCEPTED);
  expect((await rowOf(db, "a"))["attempt_count"]).toBe(1);
});

test("acks of reports come in the order of the reports, each with its id and its items' order", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 12 });
  await dispatchAll(broker, "abcdefghijkl".split(""));
  const jobs = await takeJobs(work, 12);
  const ids = [900n, 5n, 77n, 6n];
  ids.forEach((id, at) => {
    const mine = jobs.slice(at * 3, at * 3 + 3).reverse();
    work.send({ reports: { id, items: mine.map((job) => doneItem(job)) } });
  });
  for (const [at, id] of ids.entries()) {
    const ack = await work.next("reportAck");
    expect(ack.id).toBe(id);
    expect(ack.retryAfter).toBeUndefined();
    const mine = jobs.slice(at * 3, at * 3 + 3).reverse();
    expect(ack.results.map(({ jobId, status }) => [jobId, status])).toEqual(
      idsOf(mine).map((jobId) => [jobId, ReportStatus.ACCEPTED]),
    );
  }
  expect(await statusOf(db, "l")).toBe("DONE");
});

test("each outcome of the contract's table comes over the stream", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using work = await openWorker(broker);
  await dispatchAll(broker, ["ok", "again", "twice", "stopped", "elsewhere"]);
  const jobs = new Map((await takeJobs(work, 5)).map((job) => [job.job?.id, job]));
  const job = (id: string) => jobs.get(id) as ClaimedJob;
  await work.report([job("twice")]);
  await unary(other, job("elsewhere"));
  await broker.jobs.cancelJobs({ jobIds: ["stopped"] });
  const sent: Item[] = [
    { ...doneItem(job("ok")), leaseToken: "stale" },
    doneItem(job("ok")),
    doneItem(job("ok")),
    failing(job("again"), { seconds: 3_600n }),
    doneItem(job("twice")),
    failing(job("twice")),
    doneItem(job("stopped")),
    doneItem(job("elsewhere")),
    { leaseToken: "t", result: { jobId: "never-there", status: 1 } },
  ];
  work.send({ reports: { id: 8n, items: sent } });
  let ack = await work.next("reportAck");
  while (ack.id !== 8n) ack = await work.next("reportAck");
  expect(outcomes(ack.results)).toEqual([
    "ok: LEASE_LOST",
    "ok: ACCEPTED",
    "ok: DUPLICATE",
    "again: RETRYING",
    "twice: DUPLICATE",
    "twice: CONFLICT",
    "stopped: CANCELLED",
    "elsewhere: DUPLICATE",
    "never-there: NOT_FOUND",
  ]);
  for (const { message } of ack.results) expect(message).not.toBe("");
  expect(await statusOf(db, "again")).toBe("PENDING");
  expect(await statusOf(db, "stopped")).toBe("CANCELLED");
});

test("a failed job comes again by itself when its delay is over, to the same stream", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  work.send({ reports: { id: 1n, items: [failing(job, { nanos: 150_000_000 })] } });
  expect((await work.next("reportAck")).results[0]?.status).toBe(ReportStatus.RETRYING);
  expect(await takeJob(work, QUICK_MS)).toMatchObject({ attempt: 2, job: { id: "a" } });
});

test("a release answers each lease with its id: true where it was held, false where not", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  work.send({ capacity: { maxInFlight: 0 } });
  const leases = [{ jobId: "a", leaseToken: "stale" }, leaseOf(job), { jobId: "never-there", leaseToken: "t" }];
  work.send({ release: { id: 31n, leases, reason: "no GPU" } });
  expect(await work.next("releaseAck")).toMatchObject({
    id: 31n,
    results: [
      { jobId: "a", released: false },
      { jobId: "a", released: true },
      { jobId: "never-there", released: false },
    ],
  });
  expect(await rowOf(db, "a")).toMatchObject({ status: "PENDING", attempt_count: 0, deliveries: 1 });
  expect(broker.lines.some((line) => line.includes('"release"') && line.includes("no GPU"))).toBe(true);
});

test("what the worker said before it closed its side is answered before the stream ends", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 3 });
  await dispatchAll(broker, ["a", "b", "c"]);
  const jobs = await takeJobs(work, 3);
  for (const [at, job] of jobs.entries()) work.send({ reports: { id: BigInt(at + 1), items: items(job) } });
  work.end();
  expect(await work.ended).toEqual({ code: 0 });
  const acks = work.received.flatMap(({ frame }) => (frame.case === "reportAck" ? [frame.value.id] : []));
  expect(acks).toEqual([1n, 2n, 3n]);
  for (const id of ["a", "b", "c"]) expect(await statusOf(db, id)).toBe("DONE");
});

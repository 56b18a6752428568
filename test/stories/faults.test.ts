/** Whole lives in which something goes wrong. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { AIResultStatus, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { HealthCheckResponse_ServingStatus as Serving } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { migrate } from "../../src/store/migrate.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expire, statusOf } from "../support/jobs.ts";
import { readError } from "../support/rpc-clients.ts";
import { until } from "../support/until.ts";

async function dispatchOne(broker: TestBroker): Promise<string> {
  const { results } = await broker.jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: "{}" }] });
  return results[0]?.jobId ?? "";
}

async function claimOne(broker: TestBroker, workerId: string) {
  const { jobs } = await broker.worker.claim({ workerId, wait: { seconds: 10n } });
  return { jobId: jobs[0]?.job?.id ?? "", leaseToken: jobs[0]?.leaseToken ?? "", attempt: jobs[0]?.attempt };
}

async function reportDone(broker: TestBroker, workerId: string, lease: { jobId: string; leaseToken: string }) {
  const result = {
    jobId: lease.jobId,
    status: AIResultStatus.AI_RESULT_STATUS_DONE,
    resultJson: JSON.stringify({ by: workerId }),
  };
  const { results } = await broker.worker.report({ workerId, items: [{ leaseToken: lease.leaseToken, result }] });
  return results[0]?.status;
}

/** Resolves when a claim of this worker has found nothing and waits. */
function claimWaits(broker: TestBroker, workerId: string): Promise<unknown> {
  const line = `"worker":"${workerId}","wait_ms"`;
  return until(`a claim of ${workerId} waits`, () => broker.lines.some((l) => l.includes(line)));
}

test("a worker dies; its lease runs out; another finishes the job; the dead one's late report changes nothing", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  const jobId = await dispatchOne(broker);
  const dead = await claimOne(broker, "dead");
  await expire(db, jobId);
  const heir = await claimOne(broker, "heir");
  expect(heir).toMatchObject({ jobId, attempt: 2 });
  expect(await reportDone(broker, "heir", heir)).toBe(ReportStatus.ACCEPTED);
  expect(await reportDone(broker, "dead", dead)).toBe(ReportStatus.LEASE_LOST);
  const { job } = await broker.jobs.getJob({ jobId });
  expect(JSON.parse(job?.result?.resultJson ?? "")).toEqual({ by: "heir" });
  expect(broker.lines.some((l) => l.includes('"reclaim"') && l.includes('"dead"'))).toBe(true);
});

test("a broker ends in the middle; the worker goes on at the next one as if nothing had been", async ({ db, url }) => {
  const first = await startTestBroker(url);
  const jobId = await dispatchOne(first);
  const lease = await claimOne(first, "w1");
  await first.stop();
  await using second = await startTestBroker(url);
  const beat = await second.worker.heartbeat({ workerId: "w1", leases: [lease] });
  expect(beat.leases[0]?.verdict).toBe(LeaseVerdict.CONTINUE);
  expect(await reportDone(second, "w1", lease)).toBe(ReportStatus.ACCEPTED);
  expect(await statusOf(db, jobId)).toBe("DONE");
});

test("a legacy worker and a gRPC worker share one queue, each its own jobs", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const ids = [await dispatchOne(broker), await dispatchOne(broker)];
  const polled = await broker.rest("GET", "next");
  expect(polled).toMatchObject({ status: 200, body: { job: { id: ids[0], type: "ocr", payload: {} } } });
  const lease = await claimOne(broker, "w1");
  expect(lease.jobId).toBe(ids[1]);
  expect(await broker.rest("GET", "next")).toEqual({ status: 200, body: { job: null } });
  const posted = await broker.rest("POST", "result", { job_id: ids[0], status: "DONE", result: { by: "old" } });
  expect(posted).toEqual({ status: 200, body: { ok: true, detail: "done" } });
  expect(await reportDone(broker, "w1", lease)).toBe(ReportStatus.ACCEPTED);
  for (const id of ids) expect(await statusOf(db, id)).toBe("DONE");
});

test("a pause holds for gRPC and legacy workers, and its end wakes who waits", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await broker.admin.pauseType({ type: "ocr", reason: "engine broken" });
  const jobId = await dispatchOne(broker);
  expect((await broker.worker.claim({ workerId: "w1" })).jobs).toEqual([]);
  expect((await broker.rest("GET", "next")).body).toEqual({ job: null });
  const waiting = claimOne(broker, "w2");
  await claimWaits(broker, "w2");
  await broker.admin.resumeType({ type: "ocr" });
  expect((await waiting).jobId).toBe(jobId);
  void db;
});

test("a cancel is told by the next heartbeat and ends with the worker's report, or by itself after the grace", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { CANCEL_GRACE_MS: "60" });
  const told = await dispatchOne(broker);
  const lease = await claimOne(broker, "w1");
  await broker.jobs.cancelJobs({ jobIds: [told], reason: "student left" });
  await until("the grace is over", async () => (await statusOf(db, told)) === "CANCELLED");
  expect(await reportDone(broker, "w1", lease)).toBe(ReportStatus.CANCELLED);
  const { job } = await broker.jobs.getJob({ jobId: told });
  expect(job).toMatchObject({ status: JobStatus.CANCELLED, cancelReason: "student left" });
});

test("the job of a claim whose caller left before the answer goes back and costs no attempt", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const caller = new AbortController();
  const gone = broker.worker.claim({ workerId: "gone", wait: { seconds: 20n } }, { signal: caller.signal });
  const failure = gone.catch((err: unknown) => err);
  await claimWaits(broker, "gone");
  const jobs = Array.from({ length: 20 }, () => ({ type: "ocr", payloadJson: "{}" }));
  const dispatched = broker.jobs.dispatch({ jobs });
  caller.abort();
  await failure;
  const { results } = await dispatched;
  // Whichever came first: within moments no job is held by the caller that left, and no attempt is spent.
  await until("nothing is held", async () => {
    const [row] = await db.sql`SELECT count(*)::int AS n FROM ai_job WHERE status = 'PENDING' AND attempt_count = 0`;
    return row?.["n"] === results.length;
  });
});

test("SIGTERM's stop: waiting claims are answered, new calls are told to go elsewhere, nothing is lost", async ({
  db,
  url,
}) => {
  const broker = await startTestBroker(url);
  await until("it serves", async () => (await broker.health.check({})).status === Serving.SERVING);
  const waiting = broker.worker.claim({ workerId: "w1", wait: { seconds: 20n } });
  await claimWaits(broker, "w1");
  const stopping = broker.stop();
  expect((await waiting).jobs).toEqual([]);
  await stopping;
  await expect(broker.jobs.listJobs({})).rejects.toMatchObject({ code: Code.Unavailable });
  void db;
});

test("a stop while the broker still waits for LISTEN is no fault: nothing is said of looking again", async ({
  url,
}) => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const asked = once(silent, "connection");
  const { port } = silent.address() as AddressInfo;
  const broker = await startTestBroker(url, {
    DATABASE_URL: url,
    DATABASE_DIRECT_URL: `postgresql://x@127.0.0.1:${port}/x`,
  });
  await asked;
  await broker.stop();
  silent.close();
  expect(broker.lines.filter((line) => line.includes("looked at again"))).toEqual([]);
});

test("the database goes away and comes back: UNAVAILABLE with RetryInfo and NOT_SERVING meanwhile, and no restart", {
  timeout: 60_000,
}, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "story-"));
  let postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await migrate(postgres.url);
    await using broker = await startTestBroker(postgres.url);
    const jobId = await dispatchOne(broker);
    const status = async () => (await broker.health.check({})).status;
    await until("it serves", async () => (await status()) === Serving.SERVING);
    const before = postgres.url;
    await postgres.stop();
    const refusal = readError(await broker.jobs.getJob({ jobId }).catch((err: unknown) => err));
    expect(refusal).toMatchObject({ code: Code.Unavailable, reason: "DATABASE_DOWN", retryMs: expect.any(Number) });
    const claim = readError(await broker.worker.claim({ workerId: "w1" }).catch((err: unknown) => err));
    expect(claim).toMatchObject({ code: Code.Unavailable, reason: "DATABASE_DOWN" });
    expect((await broker.rest("GET", "next")).status).toBe(503);
    await until("health says so", async () => (await status()) === Serving.NOT_SERVING);
    postgres = await startEmbeddedPostgres({ dataDir });
    expect(postgres.url).toBe(before);
    await until("it serves again", async () => (await status()) === Serving.SERVING, 30_000);
    const lease = await claimOne(broker, "w1");
    expect(lease.jobId).toBe(jobId);
    expect(await reportDone(broker, "w1", lease)).toBe(ReportStatus.ACCEPTED);
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});

test("a fault of the broker stands in its log with its kind and place, as the caller is told", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await db.sql`ALTER TABLE ai_job RENAME TO ai_job_away`;
  try {
    await expect(dispatchOne(broker)).rejects.toThrow(/it is in the broker's log/);
  } finally {
    await db.sql`ALTER TABLE ai_job_away RENAME TO ai_job`;
  }
  const line = broker.lines.find((l) => l.includes("JobService/Dispatch") && l.includes("a fault of the broker"));
  expect(JSON.parse(line ?? "{}").err).toContainEqual(
    expect.objectContaining({ type: "PostgresError", code: "42P01", stack: expect.stringContaining(" at ") }),
  );
});

import { describe, expect } from "vitest";
import { AIResultStatus, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import type { Lease, Report, ReportStatus as ReportWord } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { startMoves } from "../support/moves.ts";
import { recordedMoves, serviceClients } from "./service-clients.ts";

const DONE = AIResultStatus.AI_RESULT_STATUS_DONE;
const FAILED = AIResultStatus.AI_RESULT_STATUS_FAILED;

const LEASE: Lease = {
  jobId: "j1",
  type: "ocr",
  tenantId: "",
  sourceDomain: null,
  sourceId: "7",
  priority: -5,
  maxAttempts: 3,
  runAt: new Date("2026-01-01T00:00:00.500Z"),
  idempotencyKey: null,
  traceparent: "00-1-2-01",
  createdAt: new Date("2025-12-31T23:59:59Z"),
  payload: '{"a": 1.0}',
  token: "secret",
  attempt: 2,
  expiresAt: new Date("2026-01-01T00:02:00Z"),
  leaseMs: 120_500,
  workerId: "w",
};

describe("claim", () => {
  test("passes what was asked, without repeated types, and answers in the store's order", async () => {
    const { moves, calls } = recordedMoves({ claim: async () => [LEASE, { ...LEASE, jobId: "j2" }] });
    const { worker } = serviceClients({ moves });
    const wait = { seconds: 2n, nanos: 1 };
    const { jobs } = await worker.claim({ workerId: "w", types: ["b", "a", "b"], maxJobs: 7, wait, requestId: "r" });
    expect(calls[0]?.args[0]).toEqual({ workerId: "w", types: ["b", "a"], maxJobs: 7, waitMs: 2_001, requestId: "r" });
    expect(jobs.map((claimed) => claimed.job?.id)).toEqual(["j1", "j2"]);
    expect(jobs[0]).toMatchObject({
      job: {
        id: "j1",
        type: "ocr",
        payloadJson: '{"a": 1.0}',
        tenantId: "",
        sourceId: "7",
        priority: -5,
        maxAttempts: 3,
        runAt: { seconds: 1_767_225_600n, nanos: 500_000_000 },
        idempotencyKey: "",
        traceparent: "00-1-2-01",
        createdAt: { seconds: 1_767_225_599n },
      },
      leaseToken: "secret",
      attempt: 2,
      leaseTtl: { seconds: 120n, nanos: 500_000_000 },
      lockedBy: "w",
    });
    expect(jobs[0]?.job).not.toHaveProperty("sourceDomain");
  });

  test("asks for one job at once by default", async () => {
    const { moves, calls } = recordedMoves({ claim: async () => [] });
    await serviceClients({ moves }).worker.claim({ workerId: "w" });
    expect(calls[0]?.args[0]).toEqual({ workerId: "w", types: [], maxJobs: 1, waitMs: 0, requestId: null });
  });
});

test("a heartbeat passes the progress and answers each lease", async () => {
  const { moves, calls } = recordedMoves({
    heartbeat: async () => [
      { jobId: "a", verdict: "CONTINUE", expiresAt: new Date(5_000) },
      { jobId: "b", verdict: "CANCEL", expiresAt: new Date(5_000) },
      { jobId: "c", verdict: "LOST", expiresAt: null },
    ],
  });
  const { leases } = await serviceClients({ moves }).worker.heartbeat({
    workerId: "w",
    leases: [
      { jobId: "a", leaseToken: "1", progress: { percent: 0, note: "begun" } },
      { jobId: "b", leaseToken: "2", progress: {} },
      { jobId: "c", leaseToken: "\0" },
    ],
  });
  expect(calls[0]?.args).toEqual([
    "w",
    [
      { jobId: "a", token: "1", progress: { percent: 0, note: "begun" } },
      { jobId: "b", token: "2", progress: { percent: null, note: null } },
      { jobId: "c", token: "", progress: null },
    ],
  ]);
  expect(leases.map(({ verdict, leaseExpiresAt }) => [verdict, leaseExpiresAt?.seconds])).toEqual([
    [LeaseVerdict.CONTINUE, 5n],
    [LeaseVerdict.CANCEL, 5n],
    [LeaseVerdict.LOST, undefined],
  ]);
});

test.for([
  ["ACCEPTED", { status: DONE }, ReportStatus.ACCEPTED, /the job is DONE/],
  ["ACCEPTED", { status: FAILED }, ReportStatus.ACCEPTED, /FAILED for good, since it has no attempts left/],
  ["RETRYING", { status: FAILED }, ReportStatus.RETRYING, /PENDING again/],
  ["DUPLICATE", { status: DONE }, ReportStatus.DUPLICATE, /reported the same before/],
  ["CONFLICT", { status: DONE }, ReportStatus.CONFLICT, /the first stands/],
  ["LEASE_LOST", { status: DONE }, ReportStatus.LEASE_LOST, /drop this work.*every third of lease_ttl/],
  ["CANCELLED", { status: DONE }, ReportStatus.CANCELLED, /the result dropped/],
  ["NOT_FOUND", { status: DONE }, ReportStatus.NOT_FOUND, /check result\.job_id/],
] as [ReportWord, { status: 1 | 2 }, ReportStatus, RegExp][])(
  "a report that is %s is told in words (%#)",
  async ([word, result, status, says]) => {
    const { moves } = recordedMoves({
      report: async (_, items: Report[]) => items.map(({ jobId }) => ({ jobId, status: word })),
    });
    const { results } = await serviceClients({ moves }).worker.report({
      workerId: "w",
      items: [{ leaseToken: "t", result: { jobId: "a", ...result } }],
    });
    expect(results).toMatchObject([{ jobId: "a", status, message: expect.stringMatching(says) }]);
  },
);

test("each call of a worker is told, but not one that was refused", async () => {
  const { moves } = recordedMoves({
    claim: async () => [],
    heartbeat: async () => [],
    report: async () => [],
    release: async () => [],
  });
  const told: unknown[] = [];
  const { worker } = serviceClients({ moves, seen: (...seen) => void told.push(seen) });
  const leases = [{ jobId: "a", leaseToken: "t" }];
  await worker.claim({ workerId: "w", types: ["ocr"] });
  await worker.heartbeat({ workerId: "w", leases });
  await worker.report({ workerId: "w", items: [{ result: { jobId: "a", status: DONE } }] });
  await worker.release({ workerId: "w", leases });
  await expect(worker.release({ workerId: "w" })).rejects.toThrow();
  expect(told).toEqual([
    ["w", ["ocr"], false],
    ["w", null, false],
    ["w", null, false],
    ["w", null, false],
  ]);
});

describe("on Postgres", () => {
  test("a job is dispatched, claimed, kept alive, reported and read; a repeated report is a duplicate, a stale one lost", async ({
    db,
  }) => {
    await using broker = startMoves(db);
    const { jobs, worker } = serviceClients({ moves: broker.moves, db });
    const payloadJson = '{"image_path": "/a.png", "academy_id": 12, "big": 12345678901234567890}';
    const { results } = await jobs.dispatch({ jobs: [{ type: "ocr", payloadJson, tenantId: "t" }] });
    const jobId = results[0]?.jobId as string;
    const [claimed] = (await worker.claim({ workerId: "w1", types: ["ocr"] })).jobs;
    expect(JSON.parse(claimed?.job?.payloadJson ?? "")).toEqual(JSON.parse(payloadJson));
    expect(claimed?.job?.payloadJson).toContain('"academy_id": 12,');
    const leaseToken = claimed?.leaseToken as string;
    const lease = { jobId, leaseToken, progress: { percent: 50, note: "half" } };
    expect((await worker.heartbeat({ workerId: "w1", leases: [lease] })).leases[0]?.verdict).toBe(
      LeaseVerdict.CONTINUE,
    );
    expect((await jobs.getJob({ jobId })).job).toMatchObject({
      status: JobStatus.RUNNING,
      lockedBy: "w1",
      attemptCount: 1,
      progress: { percent: 50, note: "half" },
    });
    const report = (token: string) =>
      worker.report({
        workerId: "w1",
        items: [{ leaseToken: token, result: { jobId, status: DONE, resultJson: '{"n": 1.50}' } }],
      });
    expect((await report("stale")).results[0]?.status).toBe(ReportStatus.LEASE_LOST);
    expect((await report(leaseToken)).results[0]?.status).toBe(ReportStatus.ACCEPTED);
    expect((await report(leaseToken)).results[0]?.status).toBe(ReportStatus.DUPLICATE);
    expect((await report("stale")).results[0]?.status).toBe(ReportStatus.LEASE_LOST);
    const { job } = await jobs.getJob({ jobId });
    expect(job).toMatchObject({
      status: JobStatus.DONE,
      job: { id: jobId, tenantId: "t" },
      result: { jobId, status: DONE, resultJson: '{"n": 1.50}', error: "" },
    });
    expect(job?.finishedAt).toBeDefined();
  });

  test("a failed attempt goes back with the delay that was asked for, and one not to be retried stays failed", async ({
    db,
  }) => {
    await using broker = startMoves(db);
    const { jobs, worker } = serviceClients({ moves: broker.moves, db });
    await jobs.dispatch({ jobs: [{ type: "a" }, { type: "a" }] });
    const { jobs: held } = await worker.claim({ workerId: "w", maxJobs: 2 });
    const items = held.map(({ job, leaseToken }, index) => ({
      leaseToken,
      result: { jobId: job?.id as string, status: FAILED, error: `broke ${index}` },
      retryable: index === 0,
      retryDelay: { seconds: 3_600n, nanos: 0 },
    }));
    const { results } = await worker.report({ workerId: "w", items });
    expect(results.map((one) => one.status)).toEqual([ReportStatus.RETRYING, ReportStatus.ACCEPTED]);
    const [later, failed] = await Promise.all(results.map(({ jobId }) => jobs.getJob({ jobId })));
    expect(later?.job).toMatchObject({ status: JobStatus.PENDING, lastError: "broke 0" });
    expect(later?.job).not.toHaveProperty("result");
    const delay = Number(later?.job?.job?.runAt?.seconds) - Number(later?.job?.updatedAt?.seconds);
    expect(delay).toBeGreaterThanOrEqual(3_599);
    expect(failed?.job).toMatchObject({
      status: JobStatus.FAILED,
      errorMessage: "broke 1",
      result: { status: FAILED, error: "broke 1" },
    });
  });

  test("a malformed token loses on every call and reaches the database as no error", async ({ db }) => {
    await using broker = startMoves(db);
    const { jobs, worker } = serviceClients({ moves: broker.moves, db });
    const [one] = (await jobs.dispatch({ jobs: [{ type: "a" }] })).results;
    await worker.claim({ workerId: "w" });
    const jobId = one?.jobId as string;
    for (const leaseToken of ["", "\0", "x".repeat(1_000_000)]) {
      const leases = [{ jobId, leaseToken }];
      expect((await worker.heartbeat({ workerId: "w", leases })).leases[0]?.verdict).toBe(LeaseVerdict.LOST);
      expect((await worker.release({ workerId: "w", leases })).results).toMatchObject([{ jobId, released: false }]);
      const items = [{ leaseToken, result: { jobId, status: DONE } }];
      expect((await worker.report({ workerId: "w", items })).results[0]?.status).toBe(ReportStatus.LEASE_LOST);
    }
  });
});

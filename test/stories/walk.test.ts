/** One job's whole life, told by clients of three makes over a real socket. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { expect } from "vitest";
import { AIResultStatus, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { LeaseVerdict, ReportStatus, WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { callGrpcJs } from "../support/rpc-clients.ts";

const PAYLOAD = '{"image_path":"sheets/1.png","academy_id":12}';

test("connect-node: dispatch, claim, heartbeat, report, get; a second report is DUPLICATE, a stale one LEASE_LOST", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  const { results } = await broker.jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: PAYLOAD }] });
  const jobId = results[0]?.jobId ?? "";
  const claimed = await broker.worker.claim({ workerId: "w1", types: ["ocr"], wait: { seconds: 5n } });
  const lease = claimed.jobs[0];
  expect(lease).toMatchObject({
    attempt: 1,
    lockedBy: "w1",
    leaseTtl: { seconds: 120n },
    job: { id: jobId, type: "ocr" },
  });
  expect(JSON.parse(lease?.job?.payloadJson ?? "")).toEqual(JSON.parse(PAYLOAD));
  const leaseToken = lease?.leaseToken ?? "";
  const beat = await broker.worker.heartbeat({
    workerId: "w1",
    leases: [
      { jobId, leaseToken, progress: { percent: 50, note: "half" } },
      { jobId, leaseToken: "stale" },
    ],
  });
  expect(beat.leases.map((l) => l.verdict)).toEqual([LeaseVerdict.CONTINUE, LeaseVerdict.LOST]);
  expect((await broker.jobs.getJob({ jobId })).job).toMatchObject({
    status: JobStatus.RUNNING,
    progress: { percent: 50, note: "half" },
  });
  const item = (token: string) => ({
    leaseToken: token,
    result: { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: '{"text":"가나다"}' },
  });
  const statuses = [];
  for (const token of ["stale", leaseToken, leaseToken, "stale"]) {
    const { results } = await broker.worker.report({ workerId: "w1", items: [item(token)] });
    statuses.push(results[0]?.status);
  }
  expect(statuses).toEqual([
    ReportStatus.LEASE_LOST,
    ReportStatus.ACCEPTED,
    ReportStatus.DUPLICATE,
    ReportStatus.LEASE_LOST,
  ]);
  const { job } = await broker.jobs.getJob({ jobId });
  expect(job).toMatchObject({ status: JobStatus.DONE, attemptCount: 1, lockedBy: "w1", lastError: "" });
  expect(JSON.parse(job?.result?.resultJson ?? "")).toEqual({ text: "가나다" });
  void db;
});

test("@grpc/grpc-js: the same walk", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const client = new grpc.Client(`127.0.0.1:${broker.port}`, grpc.credentials.createInsecure());
  try {
    const dispatched = await callGrpcJs(
      client,
      JobService.method.dispatch,
      { jobs: [{ type: "ocr", payloadJson: PAYLOAD }] },
      API_TOKEN,
    );
    const jobId = dispatched.results[0]?.jobId ?? "";
    const { jobs } = await callGrpcJs(
      client,
      WorkerService.method.claim,
      { workerId: "w1", maxJobs: 10 },
      WORKER_TOKEN,
    );
    const leaseToken = jobs[0]?.leaseToken ?? "";
    const lease = { jobId, leaseToken };
    const beat = await callGrpcJs(
      client,
      WorkerService.method.heartbeat,
      { workerId: "w1", leases: [lease] },
      WORKER_TOKEN,
    );
    expect(beat.leases[0]?.verdict).toBe(LeaseVerdict.CONTINUE);
    const released = await callGrpcJs(
      client,
      WorkerService.method.release,
      { workerId: "w1", leases: [lease], reason: "busy" },
      WORKER_TOKEN,
    );
    expect(released.results).toMatchObject([{ jobId, released: true }]);
    const again = await callGrpcJs(client, WorkerService.method.claim, { workerId: "w1" }, WORKER_TOKEN);
    expect(again.jobs[0]).toMatchObject({ attempt: 1 });
    const report = await callGrpcJs(
      client,
      WorkerService.method.report,
      {
        items: [
          {
            leaseToken: again.jobs[0]?.leaseToken ?? "",
            result: { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE },
          },
        ],
        workerId: "w1",
      },
      WORKER_TOKEN,
    );
    expect(report.results[0]?.status).toBe(ReportStatus.ACCEPTED);
    const { job } = await callGrpcJs(client, JobService.method.getJob, { jobId }, API_TOKEN);
    expect(job).toMatchObject({ status: JobStatus.DONE, deliveries: 2, attemptCount: 1 });
  } finally {
    client.close();
  }
  void db;
});

test("buf curl: the same walk with no proto file, by reflection", { timeout: 60_000 }, async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const call = async (token: string, method: string, body: unknown) => {
    const { stdout } = await promisify(execFile)("node_modules/.bin/buf", [
      ...["curl", "--protocol", "grpc", "--http2-prior-knowledge", "-H", `x-worker-token: ${token}`],
      ...["-d", JSON.stringify(body), `${broker.url}/aibroker.v1.${method}`],
    ]);
    return JSON.parse(stdout) as Record<string, never>;
  };
  const dispatched = await call(API_TOKEN, "JobService/Dispatch", { jobs: [{ type: "ocr", payload_json: PAYLOAD }] });
  const jobId = dispatched["results"]?.[0]?.["jobId"] as unknown as string;
  const claimed = await call(WORKER_TOKEN, "WorkerService/Claim", { worker_id: "w1", types: ["ocr"], wait: "1s" });
  const lease_token = claimed["jobs"]?.[0]?.["leaseToken"];
  const beat = await call(WORKER_TOKEN, "WorkerService/Heartbeat", {
    worker_id: "w1",
    leases: [{ job_id: jobId, lease_token }],
  });
  expect(beat["leases"]).toMatchObject([{ verdict: "LEASE_VERDICT_CONTINUE" }]);
  const items = [
    { lease_token, result: { job_id: jobId, status: "AI_RESULT_STATUS_DONE", result_json: '{"text":"ok"}' } },
  ];
  const report = await call(WORKER_TOKEN, "WorkerService/Report", { worker_id: "w1", items });
  expect(report["results"]).toMatchObject([{ status: "REPORT_STATUS_ACCEPTED" }]);
  const got = await call(API_TOKEN, "JobService/GetJob", { job_id: jobId });
  expect(got["job"]).toMatchObject({ status: "JOB_STATUS_DONE", result: { resultJson: '{"text": "ok"}' } });
  void db;
});

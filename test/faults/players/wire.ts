/** Calls and frames as the histories have them: what was asked about which job, and what was answered. */
import { type Duration, durationMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { AIResultStatus, type ClaimedJob, type LeaseRef } from "../../../src/gen/aibroker/v1/job_pb.ts";
import {
  type CancelJobsRequest,
  type CancelJobsResponse,
  CancelStatus,
  type DispatchRequest,
  type DispatchResponse,
  type RetryJobsRequest,
  type RetryJobsResponse,
  RetryStatus,
} from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import {
  type ClaimRequest,
  type ClaimResponse,
  type HeartbeatRequest,
  type HeartbeatResponse,
  type LeaseRenewal,
  LeaseVerdict,
  type ReleaseItemResult,
  type ReleaseRequest,
  type ReleaseResponse,
  type ReportItem,
  type ReportItemResult,
  type ReportRequest,
  type ReportResponse,
  ReportStatus,
} from "../../../src/gen/aibroker/v1/worker_service_pb.ts";
import type { Facts, Item, Op } from "../history/record.ts";

/** How one unary method is written down. */
interface Words {
  op: Op;
  asked: (request: never) => Facts;
  answered: (response: never, request: never) => Facts;
}

/** By the method's path, as it stands on the wire; others are not written down. */
const METHODS: Record<string, Words> = {
  "/aibroker.v1.JobService/Dispatch": {
    op: "dispatch",
    asked: ({ jobs }: DispatchRequest) => ({
      items: jobs.map(({ id = "", idempotencyKey: key, tenantId: tenant }) => ({ job: id, key, tenant })),
    }),
    answered: ({ results }: DispatchResponse) => ({
      items: results.map(({ jobId: job, created }) => ({ job, status: created ? "CREATED" : "KNOWN" })),
    }),
  },
  "/aibroker.v1.JobService/CancelJobs": {
    op: "cancel",
    asked: ({ jobIds }: CancelJobsRequest) => ({ items: jobIds.map((job) => ({ job })) }),
    answered: ({ results }: CancelJobsResponse) => ({
      items: results.map(({ jobId: job, status }) => ({ job, status: wordOf(CancelStatus, status) })),
    }),
  },
  "/aibroker.v1.JobService/RetryJobs": {
    op: "retry",
    asked: ({ jobIds }: RetryJobsRequest) => ({ items: jobIds.map((job) => ({ job })) }),
    answered: ({ results }: RetryJobsResponse) => ({
      items: results.map(({ jobId: job, status }) => ({ job, status: wordOf(RetryStatus, status) })),
    }),
  },
  "/aibroker.v1.WorkerService/Claim": {
    op: "claim",
    asked: ({ workerId: worker, maxJobs, requestId }: ClaimRequest) => ({
      worker,
      limit: Math.max(1, maxJobs),
      ...(requestId === "" ? {} : { note: `request ${requestId}` }),
    }),
    answered: ({ jobs }: ClaimResponse, { workerId: worker }: ClaimRequest) => ({ worker, items: claimed(jobs) }),
  },
  "/aibroker.v1.WorkerService/Heartbeat": {
    op: "heartbeat",
    asked: ({ workerId: worker, leases }: HeartbeatRequest) => ({ worker, items: named(leases) }),
    answered: ({ leases }: HeartbeatResponse, { workerId: worker }: HeartbeatRequest) => ({
      worker,
      items: renewed(leases),
    }),
  },
  "/aibroker.v1.WorkerService/Report": {
    op: "report",
    asked: ({ workerId: worker, items }: ReportRequest) => ({ worker, items: reported(items) }),
    answered: ({ results }: ReportResponse, { workerId: worker }: ReportRequest) => ({
      worker,
      items: settled(results),
    }),
  },
  "/aibroker.v1.WorkerService/Release": {
    op: "release",
    asked: ({ workerId: worker, leases }: ReleaseRequest) => ({ worker, items: named(leases) }),
    answered: ({ results }: ReleaseResponse, { workerId: worker }: ReleaseRequest) => ({
      worker,
      items: released(results),
    }),
  },
};

export function wordsOf(path: string): Words | undefined {
  return METHODS[path];
}

/** gRPC codes that the broker gives before it does anything. Any other error leaves it open what happened. */
const REFUSED: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.UNAUTHENTICATED,
]);

/** Whether an error is the broker's own word that nothing has happened. */
export function saysNothingHappened({ code, metadata }: ServiceError): boolean {
  return REFUSED.has(code) && (metadata?.get("grpc-status-details-bin").length ?? 0) > 0;
}

export function claimed(jobs: readonly ClaimedJob[]): Item[] {
  return jobs.map(({ job, leaseToken: token, attempt, leaseExpiresAt }) => ({
    job: job?.id ?? "",
    token,
    attempt,
    expiresAt: micros(leaseExpiresAt),
  }));
}

export function named(leases: readonly LeaseRef[]): Item[] {
  return leases.map(({ jobId: job, leaseToken: token }) => ({ job, token }));
}

export function renewed(leases: readonly LeaseRenewal[]): Item[] {
  return leases.map(({ jobId: job, verdict, leaseExpiresAt }) => ({
    job,
    status: wordOf(LeaseVerdict, verdict),
    expiresAt: micros(leaseExpiresAt),
  }));
}

export function reported(items: readonly ReportItem[]): Item[] {
  return items.map(({ leaseToken: token, result, retryable = true, retryDelay }) => ({
    job: result?.jobId ?? "",
    token,
    status: result?.status === AIResultStatus.AI_RESULT_STATUS_DONE ? "DONE" : "FAILED",
    result: result?.resultJson || null,
    retryable,
    retryDelayMs: millis(retryDelay),
  }));
}

export function settled(results: readonly ReportItemResult[]): Item[] {
  return results.map(({ jobId: job, status }) => ({ job, status: wordOf(ReportStatus, status) }));
}

export function released(results: readonly ReleaseItemResult[]): Item[] {
  return results.map(({ jobId: job, released: gone }) => ({ job, status: gone ? "RELEASED" : "KEPT" }));
}

function micros(time: Timestamp | undefined): number | undefined {
  return time && Number(time.seconds) * 1_000_000 + Math.floor(time.nanos / 1_000);
}

function millis(duration: Duration | undefined): number | undefined {
  return duration && durationMs(duration);
}

/** A value's name in a generated enum. */
export function wordOf(words: Record<string, number>, value: number): string {
  return Object.entries(words).find(([, one]) => one === value)?.[0] ?? String(value);
}

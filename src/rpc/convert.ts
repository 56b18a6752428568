/** What the store knows, as the messages of the protos. Absent times and texts are left out. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type AIJobSchema,
  AIResultStatus,
  type ClaimedJobSchema,
  type JobSchema,
  JobStatus,
} from "../gen/aibroker/v1/job_pb.ts";
import type { JobLeaseSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import type { Status } from "../job/status.ts";
import type { JobLease } from "../store/job-events.ts";
import type { JobDetail, JobFacts, JobRow, Lease, Progress } from "../store/rows.ts";
import { duration } from "./duration.ts";

const STATUS_NUMBERS: Record<Status, JobStatus> = {
  PENDING: JobStatus.PENDING,
  RUNNING: JobStatus.RUNNING,
  DONE: JobStatus.DONE,
  FAILED: JobStatus.FAILED,
  CANCELLED: JobStatus.CANCELLED,
};

/** Unspecified for none, and for a word that neither we nor Django write. */
export function jobStatus(status: Status | null): JobStatus {
  return status === null ? JobStatus.UNSPECIFIED : (STATUS_NUMBERS[status] ?? JobStatus.UNSPECIFIED);
}

/** Absent also for what a message cannot carry: `infinity`, and times before the year 1 or after 9999. */
export function timestamp(time: Date | null): Timestamp | undefined {
  const ms = time?.getTime() ?? Number.NaN;
  return ms >= -62_135_596_800_000 && ms < 253_402_300_800_000 ? timestampFromMs(ms) : undefined;
}

function aiJob(job: JobFacts, payload: string): MessageInitShape<typeof AIJobSchema> {
  return {
    id: job.jobId,
    type: job.type,
    payloadJson: payload,
    tenantId: job.tenantId ?? undefined,
    sourceDomain: job.sourceDomain ?? undefined,
    sourceId: job.sourceId ?? undefined,
    priority: job.priority,
    maxAttempts: job.maxAttempts,
    runAt: timestamp(job.runAt),
    idempotencyKey: job.idempotencyKey ?? "",
    traceparent: job.traceparent ?? "",
    createdAt: timestamp(job.createdAt),
  };
}

export function claimedJob(lease: Lease): MessageInitShape<typeof ClaimedJobSchema> {
  return {
    job: aiJob(lease, lease.payload),
    leaseToken: lease.token,
    attempt: lease.attempt,
    leaseExpiresAt: timestamp(lease.expiresAt),
    leaseTtl: duration(lease.leaseMs),
    lockedBy: lease.workerId,
  };
}

/** Who has the job now. */
export function jobLease(lease: JobLease): MessageInitShape<typeof JobLeaseSchema> {
  return {
    workerId: lease.workerId ?? "",
    instanceId: lease.instanceId ?? "",
    attempt: lease.attempt,
    lockedAt: timestamp(lease.lockedAt),
    expiresAt: timestamp(lease.expiresAt),
    lastHeartbeatAt: timestamp(lease.lastHeartbeatAt),
    progress: progress(lease.progress),
    cancelAt: timestamp(lease.cancelAt),
    lookedAt: timestamp(lease.lookedAt),
  };
}

function progress(known: Progress | null) {
  return known === null ? undefined : { percent: known.percent ?? undefined, note: known.note ?? "" };
}

/** A job as lists show it: without payload and result. */
export function listedJob(job: JobRow): MessageInitShape<typeof JobSchema> {
  return message(job, "");
}

export function detailedJob(job: JobDetail): MessageInitShape<typeof JobSchema> {
  return message(job, job.payload, resultOf(job));
}

type Result = MessageInitShape<typeof JobSchema>["result"];

function message(job: JobRow, payload: string, result?: Result): MessageInitShape<typeof JobSchema> {
  return {
    job: aiJob(job, payload),
    status: jobStatus(job.status),
    attemptCount: job.attemptCount,
    lockedBy: job.lockedBy ?? "",
    lockedAt: timestamp(job.lockedAt),
    leaseExpiresAt: timestamp(job.leaseExpiresAt),
    lastHeartbeatAt: timestamp(job.lastHeartbeatAt),
    updatedAt: timestamp(job.updatedAt),
    finishedAt: timestamp(job.finishedAt),
    lastError: job.lastError,
    errorMessage: job.errorMessage,
    result,
    progress: progress(job.progress),
    cancelRequestedAt: timestamp(job.cancelRequestedAt),
    cancelReason: job.cancelReason ?? "",
    deliveries: job.deliveries,
  };
}

/** The outcome, where there is one: a row that Django left with a failure to be tried again is none yet. */
function resultOf({ jobId, status, result, errorMessage }: JobDetail): Result {
  if (status !== "DONE" && (status !== "FAILED" || result === undefined)) return undefined;
  return {
    jobId,
    status: status === "DONE" ? AIResultStatus.AI_RESULT_STATUS_DONE : AIResultStatus.AI_RESULT_STATUS_FAILED,
    resultJson: result ?? "",
    error: errorMessage,
  };
}

/** A job as a program likes to read it: plain values in place of protobuf's. */
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type AIJob, type Job, JobStatus } from "../gen/aibroker/v1/job_pb.ts";

export type JobState = "PENDING" | "RUNNING" | "DONE" | "FAILED" | "CANCELLED";

/** What the producer said of a job, the payload apart. */
export interface JobFacts {
  id: string;
  type: string;
  tenantId: string | undefined;
  sourceDomain: string | undefined;
  sourceId: string | undefined;
  /** -1000..1000, the smaller goes first. */
  priority: number;
  maxAttempts: number;
  /** W3C trace context of the producer. */
  traceparent: string | undefined;
  createdAt: Date | undefined;
}

/** A job with its payload, its result and where it stands. Times are the database's. */
export interface JobView extends JobFacts {
  status: JobState;
  payload: unknown;
  /** Once it is DONE, where its worker sent one. */
  result: unknown;
  /** The newest failure, also of an attempt that was tried again. */
  lastError: string | undefined;
  /** Spent so far. */
  attempts: number;
  /** The worker that holds it, or that finished it. */
  lockedBy: string | undefined;
  progress: { percent: number | undefined; note: string } | undefined;
  /** When it may be claimed, moved on by each retry. */
  runAt: Date | undefined;
  leaseExpiresAt: Date | undefined;
  finishedAt: Date | undefined;
  cancelRequestedAt: Date | undefined;
  cancelReason: string | undefined;
}

const STATES: Readonly<Record<number, JobState>> = {
  [JobStatus.PENDING]: "PENDING",
  [JobStatus.RUNNING]: "RUNNING",
  [JobStatus.DONE]: "DONE",
  [JobStatus.FAILED]: "FAILED",
  [JobStatus.CANCELLED]: "CANCELLED",
};

/** The word for a status; undefined for none (a job that does not exist). */
export function jobState(status: JobStatus): JobState | undefined {
  return STATES[status];
}

export function jobFacts(job: AIJob): JobFacts {
  return {
    id: job.id,
    type: job.type,
    tenantId: job.tenantId,
    sourceDomain: job.sourceDomain,
    sourceId: job.sourceId,
    priority: job.priority,
    maxAttempts: job.maxAttempts,
    traceparent: job.traceparent || undefined,
    createdAt: date(job.createdAt),
  };
}

/** Throws where the broker sent no job, or a status that this client does not know. */
export function jobView(seen: Job): JobView {
  const { job, progress } = seen;
  const status = jobState(seen.status);
  if (job === undefined || status === undefined) throw new Error("the broker sent a job that this client cannot read");
  return {
    ...jobFacts(job),
    status,
    payload: parse(job.payloadJson),
    result: parse(seen.result?.resultJson),
    lastError: seen.lastError || undefined,
    attempts: seen.attemptCount,
    lockedBy: seen.lockedBy || undefined,
    progress: progress && { percent: progress.percent, note: progress.note },
    runAt: date(job.runAt),
    leaseExpiresAt: date(seen.leaseExpiresAt),
    finishedAt: date(seen.finishedAt),
    cancelRequestedAt: date(seen.cancelRequestedAt),
    cancelReason: seen.cancelReason || undefined,
  };
}

function parse(json: string | undefined): unknown {
  return json ? JSON.parse(json) : undefined;
}

function date(time: Timestamp | undefined): Date | undefined {
  return time && timestampDate(time);
}

/** What a watcher is told, as the messages of the protos. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { JobStatus } from "../gen/aibroker/v1/job_pb.ts";
import { JobEventKind, type JobEventSchema, type WatchedJobSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import type { EventKind } from "../job/events.ts";
import type { EventFacts } from "../store/event-facts.ts";
import type { WatchedJob } from "../store/watch-state.ts";
import { jobStatus, timestamp } from "./convert.ts";

/** The kind on the wire, and the state that the job is in after it. */
const KINDS: Record<EventKind, [JobEventKind, JobStatus]> = {
  dispatched: [JobEventKind.DISPATCHED, JobStatus.PENDING],
  started: [JobEventKind.STARTED, JobStatus.RUNNING],
  retrying: [JobEventKind.RETRYING, JobStatus.PENDING],
  released: [JobEventKind.RELEASED, JobStatus.PENDING],
  reclaimed: [JobEventKind.RECLAIMED, JobStatus.PENDING],
  retried: [JobEventKind.RETRIED, JobStatus.PENDING],
  done: [JobEventKind.DONE, JobStatus.DONE],
  failed: [JobEventKind.FAILED, JobStatus.FAILED],
  cancelled: [JobEventKind.CANCELLED, JobStatus.CANCELLED],
};

export function watchedJob(job: WatchedJob): MessageInitShape<typeof WatchedJobSchema> {
  return {
    jobId: job.jobId,
    type: job.type,
    status: jobStatus(job.status),
    attempt: job.attempt,
    tenantId: job.tenantId ?? undefined,
    sourceDomain: job.sourceDomain ?? undefined,
    sourceId: job.sourceId ?? undefined,
    workerId: job.workerId ?? "",
    error: job.error,
    seq: BigInt(job.seq),
    updatedAt: timestamp(job.updatedAt),
  };
}

export function jobEvent(event: EventFacts): MessageInitShape<typeof JobEventSchema> {
  const [kind, status] = KINDS[event.kind] ?? [JobEventKind.UNSPECIFIED, JobStatus.UNSPECIFIED];
  return {
    eventId: `${event.jobId}/${event.seq}`,
    jobId: event.jobId,
    seq: BigInt(event.seq),
    kind,
    status,
    type: event.type,
    attempt: event.attempt,
    tenantId: event.tenantId ?? undefined,
    sourceDomain: event.sourceDomain ?? undefined,
    sourceId: event.sourceId ?? undefined,
    workerId: event.workerId ?? "",
    error: event.error ?? "",
    at: timestamp(event.at),
  };
}

/** JobService: dispatch, look, cancel, retry, watch. */
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { BrokerError } from "../errors.ts";
import {
  CancelStatus,
  type JobService,
  type ListJobEventsRequest,
  RetryStatus,
} from "../gen/aibroker/v1/job_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import { getJob } from "../store/get-job.ts";
import { jobEvents } from "../store/job-events.ts";
import { countJobs, listJobs } from "../store/list-jobs.ts";
import { archivedAt } from "../store/prune.ts";
import type { Cancelled, JobDetail, Retried } from "../store/rows.ts";
import { detailedJob, jobLease, jobStatus, listedJob } from "./convert.ts";
import { sentHeader } from "./grpc-context.ts";
import { pageStart, pageToken } from "./page-token.ts";
import type { ServiceContext } from "./service-context.ts";
import { inTrace } from "./trace-dispatch.ts";
import { integer, shown } from "./validate.ts";
import { jobFilter, jobId, jobIds, newJobs, pageSize, reason } from "./validate-job.ts";
import { createWatchJobs } from "./watch-jobs.ts";
import { jobEvent } from "./watch-messages.ts";

const CANCELS: Record<Cancelled["outcome"], CancelStatus> = {
  CANCELLED: CancelStatus.CANCELLED,
  REQUESTED: CancelStatus.REQUESTED,
  UNCHANGED: CancelStatus.UNCHANGED,
  NOT_FOUND: CancelStatus.NOT_FOUND,
};

const RETRIES: Record<Retried["outcome"], RetryStatus> = {
  RETRIED: RetryStatus.RETRIED,
  NOT_RETRYABLE: RetryStatus.NOT_RETRYABLE,
  NOT_FOUND: RetryStatus.NOT_FOUND,
};

const DEFAULT_COUNTED = 10_000;
const MOST_COUNTED = 100_000;
const EVENTS_PAGE = 100;

/** What gRPC clients take by default; Connect's own take more. */
const CLIENT_MAX_BYTES = 4 * 1024 * 1024;
/** What the fields beside the big texts may take. */
const REST_BYTES = 64 * 1024;

/** Throws BrokerError; the interceptor of the transport gives it its gRPC code. */
export function createJobService(ctx: ServiceContext): ServiceImpl<typeof JobService> {
  const { moves, db, limits } = ctx;
  return {
    watchJobs: createWatchJobs(ctx),

    async dispatch(request, context) {
      const jobs = newJobs(request.jobs, limits);
      const dispatched = await inTrace(jobs, sentHeader(context, "traceparent"), () => moves.dispatch(jobs));
      return { results: dispatched.map(({ jobId, created }) => ({ jobId, created })) };
    },

    async getJob(request, context) {
      const id = jobId("job_id", request.jobId);
      const job = await getJob(db, id);
      if (job === null) throw notFound(id, await archivedAt(db.sql, id));
      tellSize(job, context);
      return { job: detailedJob(job) };
    },

    async listJobs(request) {
      const filter = jobFilter(request);
      const size = pageSize(request.pageSize);
      const below = pageStart(request.pageToken, filter);
      const { jobs, next } = await listJobs(db, filter, { size, below, maxBytes: limits.maxAnswerBytes });
      return { jobs: jobs.map(listedJob), nextPageToken: next === null ? "" : pageToken(next, filter) };
    },

    async countJobs(request) {
      const filter = jobFilter(request);
      const limit = integer("limit", request.limit, 0, MOST_COUNTED) || DEFAULT_COUNTED;
      return await countJobs(db, filter, limit);
    },

    listJobEvents: (request) => listJobEvents(ctx, request),

    async cancelJobs(request) {
      const ids = jobIds(request.jobIds);
      const cancelled = await moves.cancel(ids, reason(request.reason));
      return {
        results: cancelled.map((one) => ({
          jobId: one.jobId,
          status: CANCELS[one.outcome],
          jobStatus: jobStatus(one.status),
        })),
      };
    },

    async retryJobs(request) {
      const retried = await moves.retry(jobIds(request.jobIds));
      return {
        results: retried.map((one) => ({
          jobId: one.jobId,
          status: RETRIES[one.outcome],
          jobStatus: jobStatus(one.status),
        })),
      };
    },
  };
}

async function listJobEvents({ db }: ServiceContext, request: ListJobEventsRequest) {
  const id = jobId("job_id", request.jobId);
  const size = integer("page_size", request.pageSize, 0, LIMITS.page) || EVENTS_PAGE;
  const after = pageStart(request.pageToken, { jobId: id }) ?? 0;
  const found = await jobEvents(db, id, { after, size });
  if (found === null) throw notFound(id, await archivedAt(db.sql, id));
  const { events, next, lease } = found;
  return {
    events: events.map(jobEvent),
    nextPageToken: next === null ? "" : pageToken(next, { jobId: id }),
    lease: lease === null ? undefined : jobLease(lease),
  };
}

function notFound(id: string, archived: Date | null): BrokerError {
  const words =
    archived === null
      ? `there is no job ${shown(id)}: check the id; ListJobs finds jobs by their source`
      : `job ${shown(id)} ended and was archived at ${archived.toISOString()}: its payload and result are in the ` +
        "database, in table ai_job_archive";
  return new BrokerError("JOB_NOT_FOUND", `job_id: ${words}`, { field: "job_id" });
}

/**
 * A payload and a result may together pass the limit of the caller's client, which only the client knows and enforces:
 * its error names no cure. The headers go out before the message and reach the caller beside that error.
 */
function tellSize(job: JobDetail, context: HandlerContext): void {
  const bytes = Buffer.byteLength(job.payload) + Buffer.byteLength(job.result ?? "");
  if (bytes + REST_BYTES <= CLIENT_MAX_BYTES) return;
  context.responseHeader.set("aibroker-answer-bytes", String(bytes + REST_BYTES));
  context.responseHeader.set(
    "aibroker-answer-hint",
    `this answer takes up to ${bytes + REST_BYTES} bytes; gRPC clients refuse more than ${CLIENT_MAX_BYTES} unless told ` +
      "otherwise: raise grpc.max_receive_message_length (grpcurl: -max-msg-sz)",
  );
}

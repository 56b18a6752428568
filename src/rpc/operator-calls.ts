/** AdminService's calls that move jobs: what may be asked, and the answers in the words of the protos. */
import { badField } from "../errors.ts";
import {
  ReleaseJobStatus,
  type ReleaseJobsRequest,
  type UpdateJobsRequest,
  UpdateStatus,
} from "../gen/aibroker/v1/admin_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import type { Taken, Updated } from "../store/rows.ts";
import { jobStatus } from "./convert.ts";
import type { ServiceContext } from "./service-context.ts";
import { durationMs, integer } from "./validate.ts";
import { jobIds, reason } from "./validate-job.ts";

const UPDATES: Record<Updated["outcome"], UpdateStatus> = {
  UPDATED: UpdateStatus.UPDATED,
  UNCHANGED: UpdateStatus.UNCHANGED,
  NOT_FOUND: UpdateStatus.NOT_FOUND,
};

const RELEASES: Record<Taken["outcome"], ReleaseJobStatus> = {
  RELEASED: ReleaseJobStatus.RELEASED,
  UNCHANGED: ReleaseJobStatus.UNCHANGED,
  NOT_FOUND: ReleaseJobStatus.NOT_FOUND,
};

/** The part of AdminService that moves jobs. */
export function operatorCalls({ moves }: Pick<ServiceContext, "moves">) {
  return {
    async updateJobs(request: UpdateJobsRequest) {
      const ids = jobIds(request.jobIds);
      const updated = await moves.update(ids, priority(request));
      return {
        results: updated.map((one) => ({
          jobId: one.jobId,
          status: UPDATES[one.outcome],
          jobStatus: jobStatus(one.status),
        })),
      };
    },

    async releaseJobs(request: ReleaseJobsRequest) {
      const ids = jobIds(request.jobIds);
      const why = reason(request.reason);
      const delayMs = durationMs("delay", request.delay, LIMITS.retryDelayMs) ?? 0;
      const taken = await moves.releaseJobs(ids, why, delayMs);
      return {
        results: taken.map((one) => ({
          jobId: one.jobId,
          status: RELEASES[one.outcome],
          jobStatus: jobStatus(one.status),
        })),
      };
    },
  };
}

/** Required: 0 is a priority like any other. */
function priority({ priority: value }: UpdateJobsRequest): number {
  if (value === undefined) {
    throw badField("priority", `is missing: give ${-LIMITS.priority}..${LIMITS.priority}, the smaller goes first`);
  }
  return integer("priority", value, -LIMITS.priority, LIMITS.priority);
}

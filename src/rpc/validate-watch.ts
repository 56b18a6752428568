/** The request of a watcher, as the store takes it. */
import { badField } from "../errors.ts";
import type { WatchJobsRequest } from "../gen/aibroker/v1/job_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import type { EventFilter } from "../store/events.ts";
import { optionalText } from "./validate.ts";
import { jobIds, jobType } from "./validate-job.ts";

/** Which jobs are watched; parts that were not given are absent. */
export function watchFilter(request: WatchJobsRequest): EventFilter {
  if (request.types.length > LIMITS.typesPerClaim) {
    throw badField("types", `must hold at most ${LIMITS.typesPerClaim} types, got ${request.types.length}`);
  }
  const filter: EventFilter = {};
  if (request.jobIds.length > 0) filter.jobIds = [...new Set(jobIds(request.jobIds))];
  if (request.types.length > 0) {
    filter.types = [...new Set(request.types.map((type, index) => jobType(`types[${index}]`, type)))].sort();
  }
  const parts = {
    tenantId: optionalText("tenant_id", request.tenantId, LIMITS.tenantId),
    sourceDomain: optionalText("source_domain", request.sourceDomain, LIMITS.sourceDomain),
    sourceId: optionalText("source_id", request.sourceId, LIMITS.sourceId),
  };
  for (const [name, value] of Object.entries(parts)) if (value !== null) filter[name as keyof typeof parts] = value;
  if (Object.keys(filter).length === 0) {
    throw badField("job_ids", "is empty, and so is the rest: say which jobs, by job_ids, types, tenant_id or source");
  }
  return filter;
}

/** The requests of producers and operators, as the store takes them. Names of fields are those of the protos. */
import { randomUUIDv7 } from "node:crypto";
import { badField } from "../errors.ts";
import { JobStatus } from "../gen/aibroker/v1/job_pb.ts";
import type { CountJobsRequest, ListJobsRequest, NewJob as NewJobMessage } from "../gen/aibroker/v1/job_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import type { Status } from "../job/status.ts";
import type { JobFilter } from "../store/list-jobs.ts";
import type { NewJob } from "../store/rows.ts";
import { jsonObject, refuseLarge } from "./json-text.ts";
import { knownType, typedPayload } from "./payload.ts";
import type { ServiceLimits } from "./service-context.ts";
import { batch, instant, integer, optionalText, text, textOrNone, word } from "./validate.ts";

const DEFAULT_PAGE = 50;

const STATUS_WORDS: ReadonlyMap<number, Status> = new Map([
  [JobStatus.PENDING, "PENDING"],
  [JobStatus.RUNNING, "RUNNING"],
  [JobStatus.DONE, "DONE"],
  [JobStatus.FAILED, "FAILED"],
  [JobStatus.CANCELLED, "CANCELLED"],
]);

/** The jobs of a Dispatch with their defaults filled in; all of them are sound, or it throws for the first fault. */
export function newJobs(jobs: readonly NewJobMessage[], limits: ServiceLimits): NewJob[] {
  batch("jobs", jobs.length);
  let bytes = 0;
  for (const job of jobs) bytes += bytesOf(job);
  refuseLarge("jobs", bytes, limits.maxRequestBytes, "MAX_REQUEST_BYTES", " in all");
  return jobs.map((job, index) => newJob(`jobs[${index}]`, job, limits));
}

function newJob(path: string, job: NewJobMessage, limits: ServiceLimits): NewJob {
  const type = text(`${path}.type`, job.type, LIMITS.type, 1);
  if (limits.strictTypes) knownType(`${path}.type`, type);
  return {
    id: job.id === undefined ? randomUUIDv7() : givenId(`${path}.id`, job.id),
    type,
    payload: payloadText(`${path}.payload_json`, type, job.payloadJson, limits),
    tenantId: optionalText(`${path}.tenant_id`, job.tenantId, LIMITS.tenantId),
    sourceDomain: optionalText(`${path}.source_domain`, job.sourceDomain, LIMITS.sourceDomain),
    sourceId: optionalText(`${path}.source_id`, job.sourceId, LIMITS.sourceId),
    priority: integer(`${path}.priority`, job.priority ?? 0, -LIMITS.priority, LIMITS.priority),
    maxAttempts:
      job.maxAttempts === undefined
        ? limits.defaultMaxAttempts
        : integer(`${path}.max_attempts`, job.maxAttempts, 1, LIMITS.maxAttempts),
    runAt: instant(`${path}.run_at`, job.runAt),
    idempotencyKey: textOrNone(`${path}.idempotency_key`, job.idempotencyKey, LIMITS.idempotencyKey),
    traceparent: textOrNone(`${path}.traceparent`, job.traceparent, LIMITS.traceparent),
  };
}

function givenId(path: string, id: string): string {
  if (id === "") throw badField(path, `is empty: give 1..${LIMITS.id} characters, or leave it out for one of ours`);
  return text(path, id, LIMITS.id, 1);
}

/** The payload exactly as it came, once it has been looked through. */
function payloadText(path: string, type: string, json: string, limits: ServiceLimits): string {
  if (json === "") return "{}";
  typedPayload(path, type, jsonObject(path, json, limits.maxPayloadBytes, "MAX_PAYLOAD_BYTES"), json);
  return json;
}

function bytesOf(job: NewJobMessage): number {
  const names = [job.id, job.tenantId, job.sourceDomain, job.sourceId, job.idempotencyKey, job.traceparent];
  let bytes = Buffer.byteLength(job.payloadJson) + Buffer.byteLength(job.type);
  for (const name of names) if (name !== undefined) bytes += Buffer.byteLength(name);
  return bytes;
}

/** The ids of a CancelJobs, RetryJobs, UpdateJobs or ReleaseJobs, in their order; the same id may stand twice. */
export function jobIds(ids: readonly string[]): string[] {
  batch("job_ids", ids.length);
  return ids.map((id, index) => jobId(`job_ids[${index}]`, id));
}

export function jobId(field: string, id: string): string {
  return text(field, id, LIMITS.id, 1);
}

export function reason(value: string): string {
  return text("reason", value, LIMITS.reason);
}

export function jobType(field: string, type: string): string {
  return text(field, type, LIMITS.type, 1);
}

/** What ListJobs and CountJobs are asked to find. */
export function jobFilter(request: ListJobsRequest | CountJobsRequest): JobFilter {
  if (request.types.length > LIMITS.typesPerClaim) {
    throw badField(
      "types",
      `must hold at most ${LIMITS.typesPerClaim} types, got ${request.types.length}: ask in parts`,
    );
  }
  const statuses = request.statuses.map((status, index) =>
    word(`statuses[${index}]`, status, STATUS_WORDS, "one of the JOB_STATUS_ values but UNSPECIFIED"),
  );
  return {
    statuses: [...new Set(statuses)].sort(),
    types: [...new Set(request.types.map((type, index) => jobType(`types[${index}]`, type)))].sort(),
    tenantId: optionalText("tenant_id", request.tenantId, LIMITS.tenantId),
    sourceDomain: optionalText("source_domain", request.sourceDomain, LIMITS.sourceDomain),
    sourceId: optionalText("source_id", request.sourceId, LIMITS.sourceId),
    workerId: optionalText("worker_id", request.workerId, LIMITS.workerId),
    errorContains: textOrNone("error_contains", request.errorContains, LIMITS.reason),
    createdAfter: instant("created_after", request.createdAfter),
    createdBefore: instant("created_before", request.createdBefore),
  };
}

export function pageSize(size: number): number {
  return integer("page_size", size, 0, LIMITS.page) || DEFAULT_PAGE;
}

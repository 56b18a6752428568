/** The requests of workers, as the store takes them. Names of fields are those of the protos. */
import type { ClaimCall } from "../dispatch/moves.ts";
import { badField } from "../errors.ts";
import {
  AIResultStatus,
  type LeaseRef as LeaseRefMessage,
  type Progress as ProgressMessage,
} from "../gen/aibroker/v1/job_pb.ts";
import type { ClaimRequest, ReportItem } from "../gen/aibroker/v1/worker_service_pb.ts";
import { cut, LIMITS } from "../job/limits.ts";
import type { Beat, LeaseRef, Progress, Report } from "../store/rows.ts";
import { jsonObject, refuseLarge } from "./json-text.ts";
import type { ServiceLimits } from "./service-context.ts";
import { batch, durationMs, integer, leaseToken, text, textOrNone, word, workerId } from "./validate.ts";
import { jobId, jobType } from "./validate-job.ts";

const RESULT_WORDS: ReadonlyMap<number, "DONE" | "FAILED"> = new Map([
  [AIResultStatus.AI_RESULT_STATUS_DONE, "DONE"],
  [AIResultStatus.AI_RESULT_STATUS_FAILED, "FAILED"],
]);

export function claimCall(request: ClaimRequest): ClaimCall {
  return {
    workerId: workerId(request.workerId),
    types: claimTypes("types", request.types),
    maxJobs: integer("max_jobs", request.maxJobs, 0, LIMITS.batch) || 1,
    waitMs: durationMs("wait", request.wait, LIMITS.waitMs) ?? 0,
    requestId: textOrNone("request_id", request.requestId, LIMITS.requestId),
  };
}

/** The types that a worker takes, each once; none for any. */
export function claimTypes(field: string, types: readonly string[]): string[] {
  if (types.length > LIMITS.typesPerClaim) {
    const what = `must hold at most ${LIMITS.typesPerClaim} types, got ${types.length}`;
    throw badField(field, `${what}: give none for any type`);
  }
  return [...new Set(types.map((type, index) => jobType(`${field}[${index}]`, type)))];
}

export function beats(leases: readonly LeaseRefMessage[], field = "leases"): Beat[] {
  batch(field, leases.length);
  return leases.map((lease, index) => ({
    ...leaseRef(`${field}[${index}]`, lease),
    progress: progress(`${field}[${index}].progress`, lease.progress),
  }));
}

export function leaseRefs(leases: readonly LeaseRefMessage[], field = "leases"): LeaseRef[] {
  batch(field, leases.length);
  return leases.map((lease, index) => leaseRef(`${field}[${index}]`, lease));
}

function leaseRef(path: string, lease: LeaseRefMessage): LeaseRef {
  return { jobId: jobId(`${path}.job_id`, lease.jobId), token: leaseToken(lease.leaseToken) };
}

function progress(path: string, value: ProgressMessage | undefined): Progress | null {
  if (value === undefined) return null;
  return {
    percent: value.percent === undefined ? null : integer(`${path}.percent`, value.percent, 0, 100),
    note: textOrNone(`${path}.note`, value.note, LIMITS.progressNote),
  };
}

/** The items of a Report; all of them are sound, or it throws for the first fault and none is reported. */
export function reports(items: readonly ReportItem[], limits: ServiceLimits, field = "items"): Report[] {
  batch(field, items.length);
  let bytes = 0;
  for (const item of items) bytes += bytesOf(item);
  refuseLarge(field, bytes, limits.maxRequestBytes, "MAX_REQUEST_BYTES", " in all");
  return items.map((item, index) => report(`${field}[${index}]`, item, limits));
}

function report(path: string, item: ReportItem, limits: ServiceLimits): Report {
  const { result } = item;
  if (result === undefined) throw badField(`${path}.result`, "is missing: give job_id and status at least");
  const at = `${path}.result`;
  const id = jobId(`${at}.job_id`, result.jobId);
  const status = word(`${at}.status`, result.status, RESULT_WORDS, "AI_RESULT_STATUS_DONE or AI_RESULT_STATUS_FAILED");
  if (result.resultJson !== "") {
    jsonObject(`${at}.result_json`, result.resultJson, limits.maxResultBytes, "MAX_RESULT_BYTES");
  }
  return {
    jobId: id,
    token: leaseToken(item.leaseToken),
    status,
    result: result.resultJson === "" ? null : result.resultJson,
    error: errorText(`${at}.error`, status, result.error),
    retryable: item.retryable ?? true,
    retryDelayMs: durationMs(`${path}.retry_delay`, item.retryDelay, LIMITS.retryDelayMs),
  };
}

/** Of a failure, cut and never empty; a DONE has none. */
function errorText(path: string, status: "DONE" | "FAILED", error: string): string {
  const short = text(path, cut(error, LIMITS.error), LIMITS.error);
  return status === "DONE" ? "" : short || "failed";
}

function bytesOf(item: ReportItem): number {
  const { result } = item;
  if (result === undefined) return 0;
  return Buffer.byteLength(result.resultJson) + Buffer.byteLength(result.error) + Buffer.byteLength(result.jobId);
}

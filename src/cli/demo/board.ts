/** What the demo knows of its jobs: it lists them over gRPC, as any producer could. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Job, JobStatus } from "../../gen/aibroker/v1/job_pb.ts";
import type { JobService, NewJobSchema } from "../../gen/aibroker/v1/job_service_pb.ts";
import type { Status } from "../../job/status.ts";
import { type Caller, insist } from "./grpc.ts";
import { describeResult } from "./results.ts";
import { seconds } from "./text.ts";
import type { JobLine } from "./view.ts";

/** The demo's jobs carry this, so that they are told from any others. */
export const SOURCE = "demo";

/** A job as it was seen last. */
export interface Seen {
  jobId: string;
  sheet: string;
  type: string;
  status: Status;
  worker: string;
  attempts: number;
  lastError: string;
  job: Job;
  /** Once the job is DONE. */
  result: Record<string, unknown> | undefined;
}

export interface Board {
  /** In the order of the sheets and, for each, of the dispatch. */
  jobs(): Seen[];
  find(sheet: string, type: string): Seen | undefined;
  byId(jobId: string): Seen | undefined;
  /** Dispatches jobs about one sheet each; resolves when they are durable. */
  dispatch(jobs: { sheet: string; type: string; payload: object }[]): Promise<void>;
  /** Asks the broker; answers with the jobs that have changed. */
  refresh(): Promise<Seen[]>;
}

const STATUS = new Map<number, Status>([
  [JobStatus.PENDING, "PENDING"],
  [JobStatus.RUNNING, "RUNNING"],
  [JobStatus.DONE, "DONE"],
  [JobStatus.FAILED, "FAILED"],
  [JobStatus.CANCELLED, "CANCELLED"],
]);

/** `sheets` gives the order of the rows. */
export function openBoard(service: Caller<typeof JobService>, sheets: string[]): Board {
  const seen = new Map<string, Seen>();
  const look = async (job: Job): Promise<Seen | undefined> => {
    const before = seen.get(job.job?.id ?? "");
    const now = read(job);
    const same = before && before.status === now.status && before.attempts === now.attempts;
    // A job that is DONE stays so: its result is asked for once.
    now.result = before?.result ?? (now.status === "DONE" ? await resultOf(service, now.jobId) : undefined);
    seen.set(now.jobId, now);
    return same ? undefined : now;
  };
  const jobs = () => [...seen.values()].sort((a, b) => sheets.indexOf(a.sheet) - sheets.indexOf(b.sheet));
  return {
    jobs,
    find: (sheet, type) => jobs().find((job) => job.sheet === sheet && job.type === type),
    byId: (jobId) => seen.get(jobId),
    dispatch: async (wanted) => {
      const jobs = wanted.map(newJob);
      await insist(() => service.dispatch({ jobs }));
    },
    refresh: async () => {
      const { jobs: listed } = await insist(() => service.listJobs({ sourceDomain: SOURCE, pageSize: 100 }));
      const changed: Seen[] = [];
      // The newest come first; the rows are to stand in the order of the dispatch.
      for (const job of listed.reverse()) {
        const change = await look(job);
        if (change) changed.push(change);
      }
      return changed;
    },
  };
}

function newJob({
  sheet,
  type,
  payload,
}: {
  sheet: string;
  type: string;
  payload: object;
}): MessageInitShape<typeof NewJobSchema> {
  return {
    type,
    payloadJson: JSON.stringify(payload),
    tenantId: "academy-7",
    sourceDomain: SOURCE,
    sourceId: sheet,
    // A producer that is cut off may send this again; the job is stored once.
    idempotencyKey: `${type}:${sheet}`,
  };
}

async function resultOf(service: Caller<typeof JobService>, jobId: string): Promise<Record<string, unknown>> {
  const { job } = await insist(() => service.getJob({ jobId }));
  return JSON.parse(job?.result?.resultJson || "{}");
}

function read(job: Job): Seen {
  return {
    jobId: job.job?.id ?? "",
    sheet: job.job?.sourceId ?? "",
    type: job.job?.type ?? "",
    status: STATUS.get(job.status) ?? "PENDING",
    worker: job.lockedBy,
    attempts: job.attemptCount,
    lastError: job.lastError,
    job,
    result: undefined,
  };
}

/** The job as a row of the table, at `nowMs`. */
export function lineOf(seen: Seen, nowMs: number): JobLine {
  const { job } = seen;
  return {
    sheet: seen.sheet,
    type: seen.type,
    status: seen.status,
    worker: seen.worker,
    attempts: seen.attempts,
    maxAttempts: job.job?.maxAttempts ?? 0,
    timeMs: (at(job.finishedAt) ?? nowMs) - (at(job.job?.createdAt) ?? nowMs),
    note: noteOf(seen, nowMs),
  };
}

function noteOf(seen: Seen, nowMs: number): string {
  const { job, status } = seen;
  if (status === "RUNNING") return leaseBar((at(job.leaseExpiresAt) ?? nowMs) - nowMs);
  if (status === "DONE") return seen.result ? describeResult(seen.type, seen.result) : "";
  if (status === "FAILED") return seen.lastError;
  const waitMs = (at(job.job?.runAt) ?? nowMs) - nowMs;
  if (seen.attempts === 0) return "";
  return waitMs > 0 ? `again in ${seconds(waitMs)}: ${seen.lastError}` : "to be tried again";
}

/** Each mark stands for half a second of the lease; a long one (a legacy worker's) has no more than eight. */
function leaseBar(leftMs: number): string {
  return `lease ${seconds(leftMs)} ${"▮".repeat(Math.min(8, Math.max(0, Math.ceil(leftMs / 500))))}`;
}

/** When the lease of a running job ends; undefined when it holds none. */
export function leaseEndsAtMs(seen: Seen | undefined): number | undefined {
  return at(seen?.job.leaseExpiresAt);
}

function at(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}

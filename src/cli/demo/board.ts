/** What the demo knows of its jobs: it dispatches and reads them with the SDK, as any producer could. */
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Caller } from "../../client/caller.ts";
import type { Client, JobToDispatch, KnownJobTypes } from "../../client/index.ts";
import { type Job, JobStatus } from "../../gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../gen/aibroker/v1/job_service_pb.ts";
import type { Status } from "../../job/status.ts";
import { describeResult } from "./results.ts";
import { seconds } from "./text.ts";
import type { JobLine } from "./view.ts";

/** The demo's jobs carry this, so that they are told from any others. */
const SOURCE = "demo";
const CALL_TIMEOUT_MS = 10_000;

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

/** A job about one sheet. */
export type Wanted = {
  [T in keyof KnownJobTypes]: { sheet: string; type: T; payload: KnownJobTypes[T]["payload"] };
}[keyof KnownJobTypes];

export interface Board {
  /** In the order of the sheets and, for each, of the dispatch. */
  jobs(): Seen[];
  find(jobId: string): Seen | undefined;
  /** Dispatches all of the jobs or none; resolves when they are durable. */
  dispatch(jobs: Wanted[]): Promise<void>;
  /** Asks a broker; answers with the jobs that have changed. */
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
export function openBoard(client: Client<KnownJobTypes>, caller: Caller, sheets: string[]): Board {
  const seen = new Map<string, Seen>();
  const look = async (job: Job): Promise<Seen | undefined> => {
    const before = seen.get(job.job?.id ?? "");
    const now = read(job);
    const same = before && before.status === now.status && before.attempts === now.attempts;
    // A job that is DONE stays so: its result is asked for once.
    now.result = before?.result ?? (now.status === "DONE" ? await resultOf(client, now.jobId) : undefined);
    seen.set(now.jobId, now);
    return same ? undefined : now;
  };
  const jobs = () => [...seen.values()].sort((a, b) => sheets.indexOf(a.sheet) - sheets.indexOf(b.sheet));
  return {
    jobs,
    find: (jobId) => seen.get(jobId),
    dispatch: async (wanted) => {
      const made = wanted.map(({ sheet, ...job }): JobToDispatch<KnownJobTypes> => {
        // With an id of its own a dispatch may be sent again after a lost answer: the job is stored once.
        return { ...job, id: idOf(sheet, job.type), tenantId: "academy-7", sourceDomain: SOURCE, sourceId: sheet };
      });
      await client.dispatchMany(made);
    },
    refresh: async () => {
      const request = { sourceDomain: SOURCE, pageSize: 100 };
      const { jobs: listed } = await caller.call(JobService.method.listJobs, request, { timeoutMs: CALL_TIMEOUT_MS });
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

/** The id of the job of this type about this sheet. */
export function idOf(sheet: string, type: string): string {
  return `${sheet}-${type}`;
}

async function resultOf(client: Client<KnownJobTypes>, jobId: string): Promise<Record<string, unknown>> {
  return ((await client.get(jobId))?.result ?? {}) as Record<string, unknown>;
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

/** Whether its worker has renewed the lease since it took the job. */
export function wasRenewed(seen: Seen | undefined): boolean {
  const [beatMs, takenMs] = [at(seen?.job.lastHeartbeatAt), at(seen?.job.lockedAt)];
  return beatMs !== undefined && takenMs !== undefined && beatMs > takenMs;
}

function at(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}

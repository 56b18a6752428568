/** What a watch tells, as a program likes to read it: plain values in place of protobuf's. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type JobEvent, JobEventKind, type WatchedJob } from "../gen/aibroker/v1/job_service_pb.ts";
import { type JobState, jobState } from "./job-view.ts";
import type { WatchFrame } from "./watch-frames.ts";

/** One job at one moment, without payload and result, which `client.get` has. */
interface JobMoment {
  jobId: string;
  type: string;
  /** Undefined: one that this client does not know. */
  status: JobState | undefined;
  /** Begun so far. */
  attempts: number;
  tenantId: string | undefined;
  sourceDomain: string | undefined;
  sourceId: string | undefined;
  /** The worker that it is about: who holds the job, or whose attempt ended. */
  workerId: string | undefined;
  /** Why an attempt failed; at most 1,000 characters. */
  error: string | undefined;
  /** Numbers the job's changes. */
  seq: number;
}

/** A job of the state. */
export interface WatchedJobView extends JobMoment {
  updatedAt: Date | undefined;
}

/** UNKNOWN: a newer broker tells of something that this client does not know. */
export type ChangeKind =
  | "DISPATCHED"
  | "STARTED"
  | "RETRYING"
  | "RELEASED"
  | "RECLAIMED"
  | "RETRIED"
  | "DONE"
  | "FAILED"
  | "CANCELLED"
  | "UNKNOWN";

/** Something that happened to a job; its `status` is the one after it. */
export interface JobChange extends JobMoment {
  /** The same wherever it is told. */
  eventId: string;
  kind: ChangeKind;
  at: Date | undefined;
}

/** One piece of a watch. `cursor` stands for everything up to it: a watch that is given it goes on behind it. */
export type WatchUpdate =
  | {
      kind: "state";
      /** As they are now: with jobIds or a source all that fit, otherwise those that are PENDING or RUNNING. */
      jobs: WatchedJobView[];
      /** Of the filter's jobIds, those that no job has. */
      unknownJobIds: string[];
      /** The cursor was too old: what happened between it and this state was missed. */
      cursorExpired: boolean;
      cursor: string;
    }
  /** In the order in which they became visible; those of one job in order of seq. */
  | { kind: "changes"; changes: JobChange[]; cursor: string }
  /** Nothing happened. The first update where no state is asked for: from here on changes are told. */
  | { kind: "heartbeat"; cursorExpired: boolean; cursor: string };

export function watchUpdate(frame: WatchFrame): WatchUpdate {
  if (frame.kind === "state") return { ...frame, jobs: frame.jobs.map(jobOf) };
  if (frame.kind === "changes") return { kind: "changes", changes: frame.events.map(changeOf), cursor: frame.cursor };
  return frame;
}

function jobOf(job: WatchedJob): WatchedJobView {
  return { ...moment(job), updatedAt: job.updatedAt && timestampDate(job.updatedAt) };
}

function changeOf(event: JobEvent): JobChange {
  const { eventId, kind, at } = event;
  return { eventId, kind: KINDS[kind] ?? "UNKNOWN", ...moment(event), at: at && timestampDate(at) };
}

function moment(told: WatchedJob | JobEvent): JobMoment {
  return {
    jobId: told.jobId,
    type: told.type,
    status: jobState(told.status),
    attempts: told.attempt,
    tenantId: told.tenantId,
    sourceDomain: told.sourceDomain,
    sourceId: told.sourceId,
    workerId: told.workerId || undefined,
    error: told.error || undefined,
    seq: Number(told.seq),
  };
}

const KINDS: Readonly<Record<number, ChangeKind>> = {
  [JobEventKind.DISPATCHED]: "DISPATCHED",
  [JobEventKind.STARTED]: "STARTED",
  [JobEventKind.RETRYING]: "RETRYING",
  [JobEventKind.RELEASED]: "RELEASED",
  [JobEventKind.RECLAIMED]: "RECLAIMED",
  [JobEventKind.RETRIED]: "RETRIED",
  [JobEventKind.DONE]: "DONE",
  [JobEventKind.FAILED]: "FAILED",
  [JobEventKind.CANCELLED]: "CANCELLED",
};

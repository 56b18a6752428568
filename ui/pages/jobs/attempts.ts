/** A job's events as a story: what happened around its attempts, and each attempt from its begin to its end. */
import { type JobEvent, JobEventKind, type JobLease } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import { msOf } from "../../wire/convert.ts";

export type EndKind = "done" | "failed" | "retrying" | "released" | "reclaimed" | "cancelled";

export interface Attempt {
  kind: "attempt";
  seq: number;
  number: number;
  workerId: string;
  startedAt: number | undefined;
  /** Absent: it is under way, or its end was not kept. */
  end?: { kind: EndKind; at: number | undefined; error: string };
}

/** Something outside of attempts: how the job came, an operator who sent it back, a cancel while it waited. */
export interface Moment {
  kind: "moment";
  seq: number;
  what: "dispatched" | "retried" | "cancelled" | "failed" | "done";
  at: number | undefined;
  error: string;
}

export type Chapter = Attempt | Moment;

export interface Story {
  /** The oldest first. */
  chapters: Chapter[];
  /** Changes of which no event was kept. */
  missing: number;
}

const ENDS: Partial<Record<JobEventKind, EndKind>> = {
  [JobEventKind.DONE]: "done",
  [JobEventKind.FAILED]: "failed",
  [JobEventKind.RETRYING]: "retrying",
  [JobEventKind.RELEASED]: "released",
  [JobEventKind.RECLAIMED]: "reclaimed",
  [JobEventKind.CANCELLED]: "cancelled",
};

/** `lease`: of the attempt under way, which is shown even where no event tells of its begin. */
export function storyOf(events: readonly JobEvent[], lease: JobLease | undefined): Story {
  const chapters: Chapter[] = [];
  let missing = 0;
  let lastSeq = 0;
  for (const event of events) {
    const seq = Number(event.seq);
    missing += lastSeq === 0 ? 0 : Math.max(0, seq - lastSeq - 1);
    lastSeq = seq;
    add(chapters, event, seq);
  }
  const open = openAttempt(chapters);
  if (lease !== undefined && open?.workerId !== lease.workerId) {
    const { attempt: number, workerId } = lease;
    chapters.push({ kind: "attempt", seq: lastSeq + 1, number, workerId, startedAt: msOf(lease.lockedAt) });
  }
  return { chapters, missing };
}

/** Whether the story has this error; events keep no more than its beginning. */
export function tells({ chapters }: Story, error: string): boolean {
  return chapters.some((chapter) => {
    const told = chapter.kind === "attempt" ? chapter.end?.error : chapter.error;
    return told !== undefined && told !== "" && error.startsWith(told);
  });
}

function add(chapters: Chapter[], event: JobEvent, seq: number): void {
  const { workerId, error, attempt: number } = event;
  const at = msOf(event.at);
  if (event.kind === JobEventKind.STARTED) {
    chapters.push({ kind: "attempt", seq, number, workerId, startedAt: at });
    return;
  }
  const kind = ENDS[event.kind];
  const open = openAttempt(chapters);
  if (kind !== undefined && open !== undefined) open.end = { kind, at, error };
  else if (kind !== undefined && workerId !== "") {
    // Its begin was not kept.
    chapters.push({ kind: "attempt", seq, number, workerId, startedAt: undefined, end: { kind, at, error } });
  } else {
    const what = MOMENTS[event.kind];
    if (what !== undefined) chapters.push({ kind: "moment", seq, what, at, error });
  }
}

const MOMENTS: Partial<Record<JobEventKind, Moment["what"]>> = {
  [JobEventKind.DISPATCHED]: "dispatched",
  [JobEventKind.RETRIED]: "retried",
  [JobEventKind.CANCELLED]: "cancelled",
  [JobEventKind.FAILED]: "failed",
  [JobEventKind.DONE]: "done",
};

/** The attempt that has begun last, while its end is not known. */
function openAttempt(chapters: readonly Chapter[]): Attempt | undefined {
  const last = chapters.at(-1);
  return last?.kind === "attempt" && last.end === undefined ? last : undefined;
}

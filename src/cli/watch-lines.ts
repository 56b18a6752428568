/** What `watch` prints: a line for each change for people, a JSON object for each update for programs. */
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { WatchFrame } from "../client/watch-frames.ts";
import { type JobStatus, JobStatusSchema } from "../gen/aibroker/v1/job_pb.ts";
import {
  JobEventKindSchema,
  JobEventSchema,
  type WatchedJob,
  WatchedJobSchema,
} from "../gen/aibroker/v1/job_service_pb.ts";
import { type Paint, painter, type Style } from "./demo/text.ts";
import { enumName } from "./output.ts";
import { oneLine, shorten } from "./text.ts";
import { iso } from "./time.ts";

export interface Look {
  /** The terminal's width; undefined: no line is cut. */
  columns?: number | undefined;
  colour?: boolean;
}

/** "is CANCELLED" */
const KIND_COLUMNS = 12;

const STYLES: Readonly<Record<string, Style>> = {
  DONE: "green",
  FAILED: "red",
  CANCELLED: "magenta",
  STARTED: "cyan",
  RUNNING: "cyan",
  RETRYING: "yellow",
  RECLAIMED: "yellow",
};

/** The lines of an update for people; none where nothing happened. Jobs of the state read "is RUNNING". */
export function linesOf(frame: WatchFrame, { columns, colour = false }: Look = {}): string[] {
  const paint = painter(colour);
  if (frame.kind === "heartbeat") return [];
  if (frame.kind === "state") {
    const is = (status: JobStatus) => enumName(JobStatusSchema, status);
    return frame.jobs.map((job) => line(job.updatedAt, "is ", is(job.status), job, paint, columns));
  }
  const kindOf = (kind: number) => enumName(JobEventKindSchema, kind);
  return frame.events.map((event) => line(event.at, "", kindOf(event.kind), event, paint, columns));
}

type Told = Pick<WatchedJob, "jobId" | "type" | "attempt" | "workerId" | "error">;

function line(
  at: Timestamp | undefined,
  verb: string,
  word: string,
  { jobId, type, attempt, workerId, error }: Told,
  paint: Paint,
  columns: number | undefined,
): string {
  const time = iso(at);
  const gap = " ".repeat(Math.max(0, KIND_COLUMNS - verb.length - word.length));
  const parts = [jobId, type, attempt > 0 ? `attempt ${attempt}` : "", workerId, error].map(oneLine);
  const rest = parts.filter((part) => part !== "").join("  ");
  const left = columns === undefined ? undefined : columns - time.length - KIND_COLUMNS - 4;
  const told = left === undefined ? rest : shorten(rest, Math.max(1, left));
  return `${paint(time, "dim")}  ${verb}${paint(word, ...(STYLES[word] === undefined ? [] : [STYLES[word]]))}${gap}  ${told}`;
}

/** The update for programs: the API's messages, and the cursor behind it. */
export function jsonOf(frame: WatchFrame): JsonValue {
  const options = { alwaysEmitImplicit: true };
  if (frame.kind === "state") {
    return { ...frame, jobs: frame.jobs.map((job) => toJson(WatchedJobSchema, job, options)) };
  }
  if (frame.kind === "heartbeat") return { ...frame };
  return { ...frame, events: frame.events.map((event) => toJson(JobEventSchema, event, options)) };
}

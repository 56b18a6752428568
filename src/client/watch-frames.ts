/**
 * What a watch tells over many streams: each goes on where the one before ended, on whatever broker, so that nothing is
 * told twice and nothing is missed.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  JobEvent,
  WatchedJob,
  WatchJobsRequestSchema,
  WatchJobsResponse,
} from "../gen/aibroker/v1/job_service_pb.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, BrokerError, isTransient } from "./broker-error.ts";
import { pause } from "./pause.ts";

/** Which jobs; every part that is given must fit, and one at least must be given. */
export interface JobFilter {
  /** Any of these, at most 1,000; they need not exist yet. */
  jobIds?: readonly string[];
  /** Any of these, at most 100. */
  types?: readonly string[];
  tenantId?: string;
  sourceDomain?: string;
  sourceId?: string;
}

export interface FrameOptions {
  /** Go on behind the update that had it, with the same filter. */
  cursor?: string;
  /** Leave the state out: only what changes from now on. */
  changesOnly?: boolean;
  /** Told of each interruption, before the wait for the next try. What it throws ends the watch. */
  onRetry?: (error: BrokerError, waitMs: number) => void;
}

/** A frame whose cursor stands for everything up to it. */
export type WatchFrame =
  | { kind: "state"; jobs: WatchedJob[]; unknownJobIds: string[]; cursorExpired: boolean; cursor: string }
  | { kind: "changes"; events: JobEvent[]; cursor: string }
  | { kind: "heartbeat"; cursorExpired: boolean; cursor: string };

export type WatchRequest = MessageInitShape<typeof WatchJobsRequestSchema>;

/** Makes one try at a stream. */
export type OpenWatch = (request: WatchRequest, signal: AbortSignal) => AsyncIterable<WatchJobsResponse>;

/** A stream that ends sooner is no sign that all is well again. */
const HEALTHY_AFTER_MS = 2_000;

/** Until the signal, which ends it without an error. Throws a BrokerError that trying again would not mend. */
export async function* watchFrames(
  open: OpenWatch,
  filter: JobFilter,
  { cursor = "", changesOnly = false, onRetry }: FrameOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchFrame, void> {
  const asked = { ...filter, jobIds: [...(filter.jobIds ?? [])], types: [...(filter.types ?? [])], changesOnly };
  const at = { cursor, cursorExpired: false };
  for (let failures = 1; !signal.aborted; failures += 1) {
    let healthyFrom = Number.POSITIVE_INFINITY;
    let error: BrokerError;
    try {
      for await (const frame of framesOf(open({ ...asked, cursor: at.cursor }, signal), at)) {
        healthyFrom = Math.min(healthyFrom, performance.now() + HEALTHY_AFTER_MS);
        yield frame;
      }
      error = new BrokerError("UNAVAILABLE", "the stream ended");
    } catch (thrown) {
      error = asBrokerError(thrown);
    }
    if (signal.aborted) return;
    if (error.reason === "CURSOR_EXPIRED" && at.cursor !== "") {
      at.cursor = "";
      at.cursorExpired = true;
      continue;
    }
    if (!isTransient(error)) throw error;
    if (performance.now() >= healthyFrom) failures = 1;
    const waitMs = backoffMs(failures, Math.random(), error.retryAfterMs);
    onRetry?.(error, waitMs);
    await pause(waitMs, signal);
  }
}

/** The frames of one stream, the parts of its state put together; `at` moves on with them. */
async function* framesOf(
  messages: AsyncIterable<WatchJobsResponse>,
  at: { cursor: string; cursorExpired: boolean },
): AsyncGenerator<WatchFrame> {
  const jobs: WatchedJob[] = [];
  for await (const { frame, cursor } of messages) {
    if (frame.case === "state") jobs.push(...frame.value.jobs);
    // Of a state that is not complete nothing is told: should the stream end here, the next one tells it anew.
    if (cursor === "") continue;
    const { cursorExpired } = at;
    Object.assign(at, { cursor, cursorExpired: false });
    if (frame.case === "state") {
      const { unknownJobIds } = frame.value;
      yield { kind: "state", jobs: jobs.splice(0), unknownJobIds, cursorExpired, cursor };
    } else if (frame.case === "changes") {
      yield { kind: "changes", events: frame.value.events, cursor };
    } else {
      // Or something that only a newer broker knows, whose cursor counts all the same.
      yield { kind: "heartbeat", cursorExpired, cursor };
    }
  }
}

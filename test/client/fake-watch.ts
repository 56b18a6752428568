/** WatchJobs streams whose broker's side is the test's. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { WatchUpdate } from "../../src/client/index.ts";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import {
  JobEventKind,
  type WatchJobsRequest,
  type WatchJobsResponseSchema,
} from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import type { FakeBroker } from "./fake-broker.ts";
import { Mailbox } from "./mailbox.ts";

/** An error of the broker's own; with `retryMs` it has RetryInfo. */
export function refusal(code: Code, reason: string, retryMs?: number): ConnectError {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "aibroker" } };
  const retry = { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryMs ?? 0) } };
  return new ConnectError(
    `the broker's words on ${reason}`,
    code,
    undefined,
    retryMs === undefined ? [info] : [info, retry],
  );
}

/** As a connection that was cut. */
export const cutOff = () => new ConnectError("cut off", Code.Unavailable);

/** One stream. */
export class FakeWatch {
  readonly broker: FakeBroker;
  readonly request: WatchJobsRequest;
  readonly sent = new Mailbox<MessageInitShape<typeof WatchJobsResponseSchema>>();
  /** Resolves when the client has left. */
  readonly left: Promise<void>;

  constructor(broker: FakeBroker, request: WatchJobsRequest, signal: AbortSignal) {
    this.broker = broker;
    this.request = request;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.left = promise;
    signal.addEventListener("abort", () => {
      resolve();
      this.sent.end();
    });
  }

  /** Jobs by id, all RUNNING unless told otherwise; without a cursor the state is not complete. */
  state(jobIds: string[], cursor = "", more: { status?: JobStatus; unknownJobIds?: string[] } = {}): this {
    const { status = JobStatus.RUNNING, unknownJobIds = [] } = more;
    const jobs = jobIds.map((jobId) => ({ jobId, type: "ocr", status, attempt: 1, seq: 2n }));
    this.sent.put({ frame: { case: "state", value: { jobs, complete: cursor !== "", unknownJobIds } }, cursor });
    return this;
  }

  /** Each event as `<job>/<seq>`. */
  changes(eventIds: string[], cursor: string, kind: JobEventKind = JobEventKind.STARTED): this {
    const events = eventIds.map((eventId) => {
      const [jobId = "", seq = "0"] = eventId.split("/");
      return { eventId, jobId, seq: BigInt(seq), kind, status: STATUS_AFTER.get(kind) ?? JobStatus.RUNNING };
    });
    this.sent.put({ frame: { case: "changes", value: { events } }, cursor });
    return this;
  }

  heartbeat(cursor: string): this {
    this.sent.put({ frame: { case: "heartbeat", value: {} }, cursor });
    return this;
  }

  /** Ends the stream behind what was said, with OK or with an error. */
  end(error?: Error): void {
    this.sent.end(error);
  }
}

const STATUS_AFTER = new Map<JobEventKind, JobStatus>([
  [JobEventKind.DONE, JobStatus.DONE],
  [JobEventKind.FAILED, JobStatus.FAILED],
  [JobEventKind.CANCELLED, JobStatus.CANCELLED],
]);

/** The streams that clients open at these brokers, in their order. */
export function watchesOf(...brokers: FakeBroker[]): Mailbox<FakeWatch> {
  const watches = new Mailbox<FakeWatch>();
  for (const broker of brokers) {
    broker.jobs.watchJobs = (request, { signal }) => {
      const watch = new FakeWatch(broker, request, signal);
      watches.put(watch);
      return watch.sent;
    };
  }
  return watches;
}

/** An update in a few words: what it is, of what, and its cursor. */
export function words(update: WatchUpdate | undefined): string {
  if (update === undefined) return "end";
  const { cursor } = update;
  const expired = update.kind !== "changes" && update.cursorExpired ? " after a gap" : "";
  if (update.kind === "heartbeat") return `heartbeat${expired} @${cursor}`;
  if (update.kind === "state") return `state${expired} ${update.jobs.map(({ jobId }) => jobId)} @${cursor}`;
  return `${update.changes.map(({ eventId }) => eventId)} @${cursor}`;
}

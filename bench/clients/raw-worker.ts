/** One worker on one Work stream with no SDK: it acks what comes and reports it done at once, if it is let. */
import type { ClientHttp2Session } from "node:http2";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { AIResultStatus, type ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { WorkRequestSchema, WorkResponse } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { openStream, type WorkStream } from "./work-connection.ts";

export interface RawWorkerOptions {
  token: string;
  workerId: string;
  instanceId: string;
  types: string[];
  maxInFlight: number;
  onWelcome?: () => void;
  onJob: (job: ClaimedJob, worker: RawWorker) => void;
}

/** How its stream ended. */
export interface StreamEnd {
  /** Of gRPC; -1: the connection broke. */
  status: number;
  words: string;
  /** It had begun: the broker had sent its Welcome. */
  welcomed: boolean;
  /** What the broker asked for before it went: come back after this. */
  reconnectAfterMs: number | undefined;
}

type Frame = NonNullable<MessageInitShape<typeof WorkRequestSchema>["frame"]>;

export class RawWorker {
  readonly #options: RawWorkerOptions;
  /** Jobs that it has, by lease. */
  readonly #held = new Map<string, ClaimedJob>();
  #stream: WorkStream | undefined;
  #seq = 0n;
  #reports = 0n;
  /** Reported while a frame of jobs is gone through: they go out as one, for the broker counts frames. */
  #done: ClaimedJob[] | undefined;
  #welcomed = false;
  #reconnectAfterMs: number | undefined;

  constructor(options: RawWorkerOptions) {
    this.#options = options;
  }

  get held(): number {
    return this.#held.size;
  }

  /** One stream, from its Hello to its end; jobs that it holds go along. Never rejects. */
  work(session: ClientHttp2Session): Promise<StreamEnd> {
    const { token, workerId, instanceId, types, maxInFlight } = this.#options;
    this.#seq = 0n;
    this.#welcomed = false;
    this.#reconnectAfterMs = undefined;
    return new Promise((resolve) => {
      this.#stream = openStream(session, token, {
        onMessage: (message) => this.#take(message),
        onEnd: (status, words) => {
          this.#stream = undefined;
          resolve({ status, words, welcomed: this.#welcomed, reconnectAfterMs: this.#reconnectAfterMs });
        },
      });
      const held = [...this.#held.values()].map(({ job, leaseToken }) => ({ jobId: job?.id, leaseToken }));
      this.#send({
        case: "hello",
        value: { workerId, instanceId, types, maxInFlight, held, client: "ai-job-broker-bench" },
      });
    });
  }

  /** Reports jobs done that it holds. */
  report(jobs: readonly ClaimedJob[]): void {
    const status = AIResultStatus.AI_RESULT_STATUS_DONE;
    for (const { leaseToken } of jobs) this.#held.delete(leaseToken);
    if (this.#done !== undefined) return void this.#done.push(...jobs);
    const items = jobs.map(({ job, leaseToken }) => ({
      leaseToken,
      result: { jobId: job?.id ?? "", status, resultJson: '{"ok":true}' },
    }));
    this.#send({ case: "reports", value: { id: ++this.#reports, items } });
  }

  reportAll(): void {
    if (this.#held.size > 0) this.report([...this.#held.values()]);
  }

  end(): void {
    this.#stream?.end();
  }

  #send(frame: Frame | undefined): void {
    this.#stream?.send({ ackSeq: this.#seq, ...(frame === undefined ? {} : { frame }) });
  }

  #take({ seq, frame }: WorkResponse): void {
    this.#seq = seq;
    switch (frame.case) {
      case "welcome":
        this.#welcomed = true;
        this.#options.onWelcome?.();
        break;
      case "jobs":
        this.#work(frame.value.jobs);
        break;
      case "ping":
        this.#send({ case: "pong", value: { id: frame.value.id } });
        break;
      case "drain":
        this.#reconnectAfterMs = frame.value.reconnectAfter && durationMs(frame.value.reconnectAfter);
        break;
      case "cancel":
        this.#held.delete(frame.value.leaseToken);
        break;
      default:
    }
  }

  #work(jobs: ClaimedJob[]): void {
    for (const job of jobs) this.#held.set(job.leaseToken, job);
    const done: ClaimedJob[] = [];
    this.#done = done;
    for (const job of jobs) this.#options.onJob(job, this);
    this.#done = undefined;
    // Each frame acks what has come.
    if (done.length > 0) this.report(done);
    else this.#send(undefined);
  }
}

/** A watch on a broker, as a test reads it. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import {
  type JobEvent,
  JobEventKind,
  type WatchJobsRequest,
  WatchJobsRequestSchema,
  type WatchJobsResponse,
  WatchJobsResponseSchema,
} from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { API_TOKEN, type TestBroker } from "./broker.ts";
import { isFlaky } from "./flaky-store.ts";
import { readError } from "./rpc-clients.ts";
import { until } from "./until.ts";

export type Asked = Partial<Omit<WatchJobsRequest, "$typeName">>;

/** A watch under way, with everything that it was told. */
export class Watch implements AsyncDisposable {
  readonly frames: WatchJobsResponse[] = [];
  readonly #abort = new AbortController();
  readonly ended: Promise<ConnectError | null>;

  constructor(broker: TestBroker, asked: Asked) {
    this.ended = this.#read(broker, asked);
  }

  async #read(broker: TestBroker, asked: Asked): Promise<ConnectError | null> {
    try {
      for await (const frame of broker.jobs.watchJobs(asked, { signal: this.#abort.signal })) this.frames.push(frame);
      return null;
    } catch (err) {
      if (!isFlaky || reasonOf(err) !== "DATABASE_DOWN") return ConnectError.from(err);
      // A state that has no cursor yet was not told to its end.
      if (this.cursor === "") this.frames.length = 0;
      return await this.#read(broker, { ...asked, cursor: this.cursor || (asked.cursor ?? "") });
    }
  }

  get jobs() {
    return this.frames.flatMap(({ frame }) => (frame.case === "state" ? frame.value.jobs : []));
  }

  get events(): JobEvent[] {
    return this.frames.flatMap(({ frame }) => (frame.case === "changes" ? frame.value.events : []));
  }

  /** As words: the job, the number and the kind of each change. */
  get told(): string[] {
    return this.events.map(({ jobId, seq, kind }) => `${jobId} ${seq} ${KINDS.get(kind as never)}`);
  }

  get cursor(): string {
    return this.frames.at(-1)?.cursor ?? "";
  }

  /** The state, or the first frame of a watch without one, has come. */
  async begun(): Promise<this> {
    await until("the watch has begun", () => this.frames.some(({ cursor }) => cursor !== ""));
    return this;
  }

  async heard(count: number): Promise<string[]> {
    await until(`${count} changes were told`, () => this.events.length >= count);
    return this.told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }
}

const KINDS = new Map(Object.entries(JobEventKind).map(([name, number]) => [number, name]));
export const reasonOf = (err: unknown) => readError(err).reason;

export const watching = (broker: TestBroker, asked: Asked) => new Watch(broker, asked).begun();

/** A watch whose client reads only when it is told to, as grpc-js sees it. */
export function openPaused(broker: TestBroker, asked: Asked) {
  const client = new grpc.Client(new URL(broker.url).host, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set("x-worker-token", API_TOKEN);
  const call = client.makeServerStreamRequest<WatchJobsRequest, WatchJobsResponse>(
    "/aibroker.v1.JobService/WatchJobs",
    (value) => Buffer.from(toBinary(WatchJobsRequestSchema, value)),
    (bytes) => fromBinary(WatchJobsResponseSchema, bytes),
    create(WatchJobsRequestSchema, asked),
    metadata,
  );
  call.pause();
  const frames: WatchJobsResponse[] = [];
  call.on("data", (frame: WatchJobsResponse) => frames.push(frame));
  call.on("error", () => undefined);
  const ended = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
  return { call, frames, ended, [Symbol.dispose]: () => client.close() };
}

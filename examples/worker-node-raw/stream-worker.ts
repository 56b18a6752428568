/** What outlives a stream: the instance, its leases, and when to connect again. */
import { setTimeout as sleep } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
// In a project of yours: from "ai-job-broker/client".
import { AIResultStatus, type ClaimedJob } from "../../src/client/index.ts";
// In a project of yours: generated from google/rpc/error_details.proto.
import { RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { type Lease, MAX_RESULT_BYTES, WorkStream } from "./work-stream.ts";

export interface WorkerOptions<P> {
  urls: string[];
  token: string;
  workerId: string;
  types: string[];
  concurrency: number;
  /** After this a draining worker gives back what it has not done. */
  graceMs: number;
  work(payload: P, signal: AbortSignal): Promise<object>;
}

// Trying again cannot help: the fault is the worker's own.
const HOPELESS = [Code.Unauthenticated, Code.PermissionDenied, Code.InvalidArgument, Code.Unimplemented];

export class StreamWorker<P> {
  readonly options: WorkerOptions<P>;
  /** The same over all reconnects, so that a new stream finds the leases of the one before. */
  readonly instanceId = crypto.randomUUID();
  /** By token. A lease counts as held until its report is answered: else a lost answer would run the job again. */
  readonly held = new Map<string, Lease>();
  readonly #draining = new AbortController();
  #stream = new WorkStream(this);

  constructor(options: WorkerOptions<P>) {
    this.options = options;
  }

  get isDraining(): boolean {
    return this.#draining.signal.aborted;
  }

  get isDone(): boolean {
    return this.isDraining && this.held.size === 0;
  }

  /** Until it has drained. Throws where another try cannot help. */
  async run(): Promise<void> {
    const { urls } = this.options;
    let failures = 0;
    for (let turn = 0; !this.isDone; turn++) {
      const began = performance.now();
      this.#stream = new WorkStream(this);
      const told = await this.#stream.serve(urls[turn % urls.length] ?? "").catch(retryDelay);
      failures = performance.now() - began > 10_000 ? 0 : failures + 1;
      // Full jitter, so that a thousand workers do not come back together.
      const pauseMs = told ?? Math.random() * Math.min(30_000, 250 * 2 ** failures);
      const { signal } = this.#draining;
      if (!this.isDone) await sleep(pauseMs, undefined, this.isDraining ? {} : { signal }).catch(() => undefined);
    }
  }

  async start({ job, leaseToken, attempt }: ClaimedJob): Promise<void> {
    const jobId = job?.id ?? "";
    const lease: Lease = { jobId, leaseToken, stop: new AbortController() };
    this.held.set(leaseToken, lease);
    // Let the ack out before the work begins.
    await sleep(0);
    console.log(`${jobId}: attempt ${attempt}`);
    const work = async () => storable(await this.options.work(JSON.parse(job?.payloadJson ?? "{}"), lease.stop.signal));
    const result = await work().then(
      (resultJson) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson }),
      (err) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: String(err) }),
    );
    lease.report = { leaseToken, result };
    if (this.held.has(leaseToken)) this.#stream.report([lease]);
  }

  /** A cancelled job is stopped and reported, with any outcome; a lost one is no longer ours to report. */
  stop(lease: Lease, lost: boolean): void {
    // Else its report was answered meanwhile.
    if (!this.held.has(lease.leaseToken)) return;
    console.log(`${lease.jobId}: ${lost ? "lost" : "cancelled"}`);
    lease.stop.abort();
    if (lost) this.drop(lease);
  }

  drop(lease: Lease): void {
    this.held.delete(lease.leaseToken);
    if (this.isDone) this.#stream.end();
  }

  /** Takes no more jobs. What is not done when the grace is over goes back, its attempt unspent. */
  drain(): void {
    const { graceMs } = this.options;
    this.#draining.abort();
    this.#stream.drain();
    if (this.isDone) this.#stream.end();
    const rest = () => [...this.held.values()].filter(({ report }) => report === undefined);
    setTimeout(() => this.#stream.release(rest()), graceMs).unref();
    // No broker to give them to: they run out.
    setTimeout(() => process.exit(1), graceMs + 5_000).unref();
  }
}

/** A text that the broker refuses would end the stream, and each one after it. */
function storable(done: object): string {
  const text = JSON.stringify(done);
  if (/\\u0000|\\ud[89a-f]/.test(text)) throw new Error("the result has a NUL character, or half of one");
  if (Buffer.byteLength(text) > MAX_RESULT_BYTES) throw new Error(`the result has more than ${MAX_RESULT_BYTES} bytes`);
  return text;
}

function retryDelay(err: unknown): number | undefined {
  const error = ConnectError.from(err);
  if (HOPELESS.includes(error.code)) throw error;
  console.error(error.message);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && durationMs(delay) * (1 + Math.random() / 2);
}

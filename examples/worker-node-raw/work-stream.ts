/** One stream to one broker, from Hello to its end. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
// In a project of yours: from "ai-job-broker/client".
import {
  CancelReason,
  type ClaimedJob,
  type LeaseRenewal,
  LeaseVerdict,
  type ReportAck,
  type ReportItemSchema,
  type Welcome,
  WorkerService,
  type WorkRequestSchema,
  type WorkResponse,
} from "../../src/client/index.ts";
import { Outbox } from "./outbox.ts";

type Request = MessageInitShape<typeof WorkRequestSchema>;

export interface Lease {
  jobId: string;
  leaseToken: string;
  stop: AbortController;
  report?: MessageInitShape<typeof ReportItemSchema>;
}

/** So many of the largest results fit into one message of 16 MiB (max_request_bytes). */
export const MAX_RESULT_BYTES = 1024 * 1024;
const REPORTS_AT_A_TIME = 15;

/** The worker, as a stream sees it. */
interface Worker {
  options: { token: string; workerId: string; types: string[]; concurrency: number };
  instanceId: string;
  held: ReadonlyMap<string, Lease>;
  isDraining: boolean;
  isDone: boolean;
  start(job: ClaimedJob): Promise<void>;
  stop(lease: Lease, lost: boolean): void;
  drop(lease: Lease): void;
}

export class WorkStream {
  readonly #worker: Worker;
  readonly #outbox = new Outbox<Request>();
  /** Which leases a numbered frame was about: the answer has their order. */
  readonly #asked = new Map<bigint, Lease[]>();
  readonly #gone = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #finished: Lease[] = [];
  #number = 0n;
  #seq = 0n;
  #heardAt = performance.now();
  #silenceMs = 60_000;
  #reconnectAt: number | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Until the stream ends; throws when that was an error. Answers how long to wait, if the broker said so. */
  async serve(baseUrl: string): Promise<number | undefined> {
    const { options, instanceId, held, isDraining } = this.#worker;
    const { token, workerId, types, concurrency } = options;
    const before = [...held.values()];
    const maxInFlight = isDraining ? 0 : concurrency;
    const hello = { workerId, instanceId, types, maxInFlight, held: before, client: "example-node-raw" };
    this.#send({ case: "hello", value: hello });
    const client = createClient(WorkerService, createGrpcTransport({ baseUrl }));
    const call = { headers: { "x-worker-token": token }, signal: this.#gone.signal };
    this.#timers.push(setInterval(() => this.#watch(), 1_000));
    try {
      for await (const message of client.work(this.#outgoing(), call)) {
        this.#heardAt = performance.now();
        if (message.frame.case === "welcome") this.#begin(message.frame.value, before);
        else this.#read(message);
      }
    } finally {
      for (const timer of this.#timers) clearInterval(timer);
      this.end();
    }
    return this.#reconnectAt && Math.max(0, this.#reconnectAt - performance.now());
  }

  /** Reports that gather within one turn of the event loop go as one message. */
  report(leases: Lease[]): void {
    if (this.#finished.length === 0) setImmediate(() => this.#reportFinished());
    this.#finished.push(...leases);
  }

  release(leases: Lease[]): void {
    if (leases.length > 0) this.#send({ case: "release", value: { id: this.#ask(leases), leases, reason: "SIGTERM" } });
  }

  drain(): void {
    this.#send({ case: "drain", value: { reason: "SIGTERM" } });
  }

  end(): void {
    this.#outbox.end();
  }

  #send(frame?: Request["frame"]): void {
    this.#outbox.push({ frame });
  }

  /** Each message acks what came in before it is sent. */
  async *#outgoing(): AsyncGenerator<Request> {
    for await (const request of this.#outbox) yield { ...request, ackSeq: this.#seq };
  }

  #ask(leases: Lease[]): bigint {
    this.#asked.set(++this.#number, leases);
    return this.#number;
  }

  #answered(id: bigint): Lease[] {
    const leases = this.#asked.get(id) ?? [];
    this.#asked.delete(id);
    return leases;
  }

  #reportFinished(): void {
    while (this.#finished.length > 0) {
      const leases = this.#finished.splice(0, REPORTS_AT_A_TIME);
      const items = leases.flatMap(({ report }) => report ?? []);
      this.#send({ case: "reports", value: { id: this.#ask(leases), items } });
    }
  }

  #begin(welcome: Welcome, before: Lease[]): void {
    this.#judge(before, welcome.held);
    // Those whose answer went down with an older stream, too: what is stored by then is answered DUPLICATE.
    this.report([...this.#worker.held.values()].filter(({ report }) => report !== undefined));
    this.#silenceMs = milliseconds(welcome.silenceTimeout, 60_000);
    const ping = () => this.#send({ case: "ping", value: {} });
    this.#timers.push(
      setInterval(() => this.#beat(), milliseconds(welcome.heartbeatInterval, 40_000)),
      // Keeps proxies awake, and is answered while the broker is there.
      setInterval(ping, milliseconds(welcome.pingInterval, 20_000)),
    );
    if (this.#worker.isDraining) this.drain();
    if (this.#worker.isDone) this.end();
  }

  /** Finds a broker that is gone without a word. */
  #watch(): void {
    if (performance.now() - this.#heardAt < this.#silenceMs) return;
    this.#gone.abort(new Error(`nothing came from the broker for ${this.#silenceMs} ms`));
  }

  #beat(): void {
    const leases = [...this.#worker.held.values()];
    if (leases.length > 0) this.#send({ case: "heartbeat", value: { id: this.#ask(leases), leases } });
  }

  #read({ frame, seq }: WorkResponse): void {
    switch (frame.case) {
      case "jobs":
        this.#seq = seq;
        this.#send();
        for (const job of frame.value.jobs) void this.#worker.start(job);
        break;
      case "heartbeatAck":
        this.#judge(this.#answered(frame.value.id), frame.value.leases);
        break;
      case "reportAck":
        this.#settle(frame.value);
        break;
      case "releaseAck":
        for (const lease of this.#answered(frame.value.id)) this.#worker.drop(lease);
        break;
      case "cancel": {
        const lease = this.#worker.held.get(frame.value.leaseToken);
        if (lease) this.#worker.stop(lease, frame.value.reason === CancelReason.LOST);
        break;
      }
      case "ping":
        this.#send({ case: "pong", value: { id: frame.value.id } });
        break;
      case "drain": {
        // The leases go along to the next broker, which may be the same after its restart.
        const pauseMs = milliseconds(frame.value.reconnectAfter, 0);
        this.#reconnectAt = performance.now() + pauseMs;
        this.#timers.push(setTimeout(() => this.end(), pauseMs));
        break;
      }
    }
  }

  #judge(leases: Lease[], renewals: LeaseRenewal[]): void {
    for (const [index, lease] of leases.entries()) {
      const verdict = renewals[index]?.verdict;
      if (verdict === LeaseVerdict.CANCEL || verdict === LeaseVerdict.LOST)
        this.#worker.stop(lease, verdict === LeaseVerdict.LOST);
    }
  }

  #settle({ id, results, retryAfter }: ReportAck): void {
    const leases = this.#answered(id);
    if (retryAfter) this.#timers.push(setTimeout(() => this.report(leases), durationMs(retryAfter)));
    for (const [index, { jobId, message }] of results.entries()) {
      console.log(`${jobId}: ${message}`);
      const lease = leases[index];
      if (lease) this.#worker.drop(lease);
    }
  }
}

function milliseconds(span: Duration | undefined, fallback: number): number {
  return span === undefined ? fallback : durationMs(span);
}

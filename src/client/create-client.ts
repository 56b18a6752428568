/** The producer's side: dispatch jobs, look at them, end them, start them again. */
import { CancelStatus, JobService, RetryStatus } from "../gen/aibroker/v1/job_service_pb.ts";
import { BrokerError } from "./broker-error.ts";
import { Caller } from "./caller.ts";
import { newJobId } from "./job-id.ts";
import type { AnyJobTypes, ReadResult, SentPayload, TypeName } from "./job-types.ts";
import { type JobState, type JobView, jobState, jobView } from "./job-view.ts";
import type { TransportName } from "./link.ts";
import { type DispatchOptions, type MadeJob, newJob } from "./new-job.ts";
import { inProducerSpan } from "./producing.ts";
import type { StandardSchema } from "./standard-schema.ts";
import { Turnstile } from "./turnstile.ts";
import { type JobOutcome, outcomeOf, waitForEnd } from "./wait-for-end.ts";
import { Watch, type WatchOptions } from "./watch.ts";
import type { JobFilter } from "./watch-frames.ts";
import type { WatchUpdate } from "./watch-view.ts";

export interface ClientOptions<M extends object = AnyJobTypes> {
  /** http://HOST:PORT or https://HOST:PORT of a broker, or of several of one database. */
  url: string | readonly string[];
  /** One of the broker's INTERNAL_API_TOKEN. */
  token: string;
  /** Any Standard Schema (zod, valibot, arktype); a payload that does not fit is not dispatched. */
  schemas?: { readonly [T in TypeName<M>]?: { readonly payload?: StandardSchema } };
  /** How long one call may take in all, tries included; default 10,000. */
  timeoutMs?: number;
  /** PEM certificates to trust instead of the system's, for https. */
  ca?: string;
  /** PEM certificate chain and key, for a broker that asks for a client's certificate (TLS_CLIENT_CA_FILE). */
  cert?: string;
  key?: string;
  /** Default grpc-js. */
  transport?: TransportName;
}

export interface CallOptions {
  /** Instead of the client's. */
  timeoutMs?: number;
  /** Aborted: the call rejects, and nothing is tried again. Its effect may still come about. */
  signal?: AbortSignal;
}

export interface WaitOptions {
  /** How long to wait for the job's end, its dispatch included; default: as long as it takes. */
  timeoutMs?: number;
  /** Aborted: the wait rejects. The job goes on. */
  signal?: AbortSignal;
}

export interface Dispatched {
  jobId: string;
  /** False when the job had been dispatched before, by the same id or idempotencyKey. */
  created: boolean;
}

/** What came of a safeDispatch. The id is known also when the broker could not be reached, for a later try with it. */
export type SafeOutcome =
  | { ok: true; jobId: string; type: string; created: boolean; error?: undefined }
  | { ok: false; jobId: string; type: string; error: Error };

export interface CancelOutcome {
  jobId: string;
  /** REQUESTED: it runs, and its worker is told. UNCHANGED: it had ended before. */
  status: "CANCELLED" | "REQUESTED" | "UNCHANGED" | "NOT_FOUND";
  /** After the call; undefined where there is no such job. */
  jobStatus: JobState | undefined;
}

export interface RetryOutcome {
  jobId: string;
  /** NOT_RETRYABLE: it is neither FAILED nor CANCELLED, which a repeat after a lost answer finds, too. */
  status: "RETRIED" | "NOT_RETRYABLE" | "NOT_FOUND";
  jobStatus: JobState | undefined;
}

/** A job for dispatchMany. */
export type JobToDispatch<M extends object> = {
  [T in TypeName<M>]: { type: T; payload: SentPayload<M, T> } & DispatchOptions;
}[TypeName<M>];

/**
 * Makes a client. It connects with the first call, tries again while a fault may pass (every call is safe to repeat),
 * and moves on to the next address when one does not answer. Throws a TypeError for an address that cannot be.
 */
export function createClient<M extends object = AnyJobTypes>(options: ClientOptions<M>): Client<M> {
  return new Client(options);
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** A connection takes 1,000 streams, and other calls want some. Waits beyond these look at their jobs now and then. */
const MAX_WAIT_STREAMS = 200;

/** Made by createClient. Its calls reject with a BrokerError, and with a SchemaError or TypeError for a bad payload. */
export class Client<M extends object = AnyJobTypes> implements AsyncDisposable {
  readonly #caller: Caller;
  readonly #schemas: Readonly<Record<string, { readonly payload?: StandardSchema } | undefined>>;
  readonly #timeoutMs: number;
  readonly #waits = new Turnstile(MAX_WAIT_STREAMS);

  constructor({
    url,
    token,
    schemas = {},
    timeoutMs = DEFAULT_TIMEOUT_MS,
    ca,
    cert,
    key,
    transport = "grpc-js",
  }: ClientOptions<M>) {
    this.#caller = new Caller({ url, token, ca, cert, key, transport });
    this.#schemas = schemas;
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves when the job is durable. */
  async dispatch<T extends TypeName<M>>(
    type: T,
    payload: SentPayload<M, T>,
    options: DispatchOptions & CallOptions = {},
  ): Promise<Dispatched> {
    return await this.#dispatch(type, payload, options, newJobId());
  }

  /** As dispatch, but never rejects. */
  async safeDispatch<T extends TypeName<M>>(
    type: T,
    payload: SentPayload<M, T>,
    options: DispatchOptions & CallOptions = {},
  ): Promise<SafeOutcome> {
    const freshId = newJobId();
    try {
      return { ok: true, type, ...(await this.#dispatch(type, payload, options, freshId)) };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      return { ok: false, type, jobId: options.id ?? freshId, error };
    }
  }

  /**
   * Dispatches a job and resolves when it has ended: DONE, FAILED or CANCELLED, none of which rejects. A lost answer is
   * made good, and so is a broker that goes away meanwhile. Rejects as dispatch does, and once the job is stored with a
   * WaitError, which knows its jobId; the job then goes on.
   */
  async dispatchAndWait<T extends TypeName<M>>(
    type: T,
    payload: SentPayload<M, T>,
    options: DispatchOptions & WaitOptions = {},
  ): Promise<JobOutcome<ReadResult<M, T>>> {
    const { timeoutMs, signal, ...more } = options;
    const beganAt = performance.now();
    const call = { ...(signal && { signal }), timeoutMs: Math.min(timeoutMs ?? this.#timeoutMs, this.#timeoutMs) };
    const { jobId } = await this.#dispatch(type, payload, { ...more, ...call }, newJobId());
    const job = await waitForEnd({
      jobId,
      timeoutMs,
      beganAt,
      signal,
      watch: (leave) => this.#watchInTurn(jobId, leave),
      get: (leave) => this.get(jobId, { signal: leave }),
      onClose: (told) => this.#caller.onClose(told),
    });
    return outcomeOf(job);
  }

  /**
   * The jobs that fit as they are now, then each change as it comes: once, those of one job in order, for as long as the
   * loop goes on. Breaks of the connection are mended behind the scenes, on whatever broker. Throws a BrokerError that
   * trying again would not mend.
   */
  watch(filter: JobFilter, options: WatchOptions = {}): Watch {
    return new Watch(this.#caller, filter, options);
  }

  /** 1..1000 jobs, all of them or none. Answers in their order; an error names the item, for example jobs[3].type. */
  async dispatchMany(jobs: readonly JobToDispatch<M>[], options: CallOptions = {}): Promise<Dispatched[]> {
    const made = await Promise.all(jobs.map(({ type, payload, ...more }) => this.#make(type, payload, more)));
    return await this.#send(made, options);
  }

  /** The job as it is now; undefined where there is none of this id. */
  async get(jobId: string, options: CallOptions = {}): Promise<JobView | undefined> {
    try {
      const { job } = await this.#caller.call(JobService.method.getJob, { jobId }, this.#call(options));
      return job && jobView(job);
    } catch (error) {
      if (error instanceof BrokerError && error.reason === "JOB_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Ends a job: a pending one at once, a running one when its worker stops or after the broker's CANCEL_GRACE_MS. */
  async cancel(jobId: string, options: CallOptions & { reason?: string } = {}): Promise<CancelOutcome> {
    const request = { jobIds: [jobId], reason: options.reason };
    const { results } = await this.#caller.call(JobService.method.cancelJobs, request, this.#call(options));
    const { status, jobStatus } = sole(results);
    return { jobId, status: CANCEL_WORDS[status] ?? "NOT_FOUND", jobStatus: jobState(jobStatus) };
  }

  /** Sends a FAILED or CANCELLED job back to PENDING with a fresh attempt budget. */
  async retry(jobId: string, options: CallOptions = {}): Promise<RetryOutcome> {
    const request = { jobIds: [jobId] };
    const { results } = await this.#caller.call(JobService.method.retryJobs, request, this.#call(options));
    const { status, jobStatus } = sole(results);
    return { jobId, status: RETRY_WORDS[status] ?? "NOT_FOUND", jobStatus: jobState(jobStatus) };
  }

  /** Closes the connection; calls under way reject. */
  close(): void {
    this.#caller.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async *#watchInTurn(jobId: string, signal: AbortSignal): AsyncGenerator<WatchUpdate> {
    const leave = await this.#waits.enter(signal);
    if (leave === undefined) return;
    try {
      yield* this.watch({ jobIds: [jobId] }, { signal });
    } finally {
      leave();
    }
  }

  async #dispatch(type: string, payload: unknown, options: DispatchOptions & CallOptions, freshId: string) {
    const { timeoutMs, signal, ...more } = options;
    const made = await this.#make(type, payload, more, freshId);
    return sole(await this.#send([made], { timeoutMs, signal }));
  }

  async #make(type: string, payload: unknown, options: DispatchOptions, freshId?: string): Promise<MadeJob> {
    return await newJob(type, payload, options, this.#schemas[type]?.payload, freshId);
  }

  async #send(made: MadeJob[], options: CallOptions): Promise<Dispatched[]> {
    const jobs = made.map(({ job }) => job);
    const { results } = await inProducerSpan(jobs, () =>
      this.#caller.call(JobService.method.dispatch, { jobs }, this.#call(options)),
    );
    return results.map(({ jobId, created }, index) => {
      // Found under an id that nobody else can have: the first try stored it, and its answer was lost.
      const ours = made[index]?.fresh === true && made[index].job.id === jobId;
      return { jobId, created: created || ours };
    });
  }

  #call({ timeoutMs = this.#timeoutMs, signal }: CallOptions) {
    return { timeoutMs, signal };
  }
}

const CANCEL_WORDS: Readonly<Record<number, CancelOutcome["status"]>> = {
  [CancelStatus.CANCELLED]: "CANCELLED",
  [CancelStatus.REQUESTED]: "REQUESTED",
  [CancelStatus.UNCHANGED]: "UNCHANGED",
};

const RETRY_WORDS: Readonly<Record<number, RetryOutcome["status"]>> = {
  [RetryStatus.RETRIED]: "RETRIED",
  [RetryStatus.NOT_RETRYABLE]: "NOT_RETRYABLE",
};

function sole<T>(results: readonly T[]): T {
  const [result] = results;
  if (result === undefined) throw new BrokerError("INTERNAL", "the broker answered without a result");
  return result;
}

/** The handlers at work: what each of them is told, and what comes of them. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { AIJob, ClaimedJob } from "../gen/aibroker/v1/job_pb.ts";
import type { OpenSpan } from "../tracing/spans.ts";
import { type Outcome, runAttempt } from "./attempt.ts";
import { Shutdown } from "./failures.ts";
import type { JobContext, TypeEntry, Verdict } from "./handler.ts";
import { type JobFacts, jobFacts } from "./job-view.ts";
import { storableText } from "./json-text.ts";
import type { Lease, LeaseBook } from "./lease-book.ts";
import { type Logger, withFacts } from "./logger.ts";
import { type Releases, type Reports, reportParcel } from "./reports.ts";
import { type Seat, Seats } from "./seats.ts";
import { runInSpan, toldInSpan } from "./working.ts";

export interface CrewOptions {
  types: ReadonlyMap<string, TypeEntry & { readonly concurrency: number }>;
  /** Jobs of all types at a time. */
  concurrency: number;
  book: LeaseBook;
  reports: Reports;
  releases: Releases;
  logger: Logger;
  /** Told whenever seats.room or seats.free may have changed. */
  onSeats(): void;
  /** A lease's ttl, as it came with a job. */
  onLeaseTtl(ms: number): void;
  progress(lease: Lease, percent: number | undefined, note: string): void;
  heartbeat(lease: Lease): Promise<Verdict>;
}

/** Jobs that were taken on and whose handlers have not been started. */
export interface Admission {
  start(): void;
  /** The broker takes them back: nothing of them remains. */
  forget(): void;
}

interface Admitted {
  job: AIJob;
  attempt: number;
  seat: Seat;
  entry: TypeEntry;
}

const DEFAULT_MAX_RESULT_BYTES = 8 * 1024 * 1024;
const MAX_NOTE = 500;

export class Crew {
  readonly seats: Seats;
  readonly #options: CrewOptions;
  #maxResultBytes = DEFAULT_MAX_RESULT_BYTES;
  #whenIdle: (() => void)[] = [];

  constructor(options: CrewOptions) {
    this.#options = options;
    const limits = [...options.types].map(([type, { concurrency }]) => [type, concurrency] as const);
    this.seats = new Seats(options.concurrency, new Map(limits));
  }

  /** The broker's limit, as it says it. */
  limitResults(maxBytes: number): void {
    this.#maxResultBytes = maxBytes;
  }

  /** Takes jobs on. One that finds no seat, or that nobody here can work on, is given back at once. */
  admit(jobs: readonly ClaimedJob[]): Admission {
    const admitted = jobs.flatMap((claimed) => this.#take(claimed) ?? []);
    return {
      start: () => {
        for (const one of admitted) void this.#work(one);
      },
      forget: () => {
        for (const { seat } of admitted) {
          this.#options.book.drop(seat.lease.leaseToken);
          this.#leave(seat);
        }
      },
    };
  }

  /** What the broker says of a lease. */
  judge(leaseToken: string, verdict: Verdict): void {
    const lease = this.#options.book.judge(leaseToken, verdict);
    if (lease === undefined || verdict !== "LOST") return;
    this.seats.lose(leaseToken);
    // At once: the broker takes the seat for free, and a job that it sends would have to go back.
    this.#options.onSeats();
  }

  /** Resolves when no handler is at work. */
  idle(): Promise<void> {
    if (this.seats.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Asks all handlers to stop. */
  abort(reason: Error): void {
    for (const { lease } of this.seats) lease.abort(reason);
  }

  /** Gives back the jobs whose handlers have not ended, whatever these still do. */
  releaseAll(reason: string): void {
    for (const seat of [...this.seats]) {
      if (!seat.lease.isLost) this.#release(seat.lease, reason);
      this.#leave(seat);
    }
  }

  #take({ job, attempt, leaseToken, leaseTtl }: ClaimedJob): Admitted | undefined {
    const { book, types, logger, onLeaseTtl } = this.#options;
    const lease = book.add({ jobId: job?.id ?? "", leaseToken });
    if (lease === undefined) return undefined;
    if (leaseTtl !== undefined) onLeaseTtl(durationMs(leaseTtl));
    const entry = types.get(job?.type ?? "");
    const seat = this.seats.take(lease, job?.type ?? "");
    if (job !== undefined && entry !== undefined && seat !== undefined) return { job, attempt, seat, entry };
    logger.debug({ jobId: lease.jobId, type: job?.type }, "a job came that there is no seat for; giving it back");
    this.#release(lease, "no seat for it");
    return undefined;
  }

  async #work({ job, attempt, seat, entry }: Admitted): Promise<void> {
    // Lost or given back before it began.
    if (!this.seats.has(seat)) return;
    if (seat.lease.isLost) return this.#leave(seat);
    const facts = jobFacts(job);
    const context = this.#context(facts, attempt, seat.lease);
    const { outcome, span } = await runInSpan(context, () =>
      runAttempt(entry, facts, job.payloadJson, context, this.#maxResultBytes),
    );
    // Given back meanwhile: what came of it is of no use.
    if (this.seats.has(seat)) this.#finish(seat, outcome, span);
  }

  #finish(seat: Seat, outcome: Outcome, span: OpenSpan | undefined): void {
    const { lease, type } = seat;
    const { logger, reports } = this.#options;
    const facts = { jobId: lease.jobId, type };
    if (lease.isLost) {
      logger.warn(facts, "the lease was lost meanwhile; what came of the job is dropped");
    } else if (isInterrupted(lease, outcome)) {
      this.#release(lease, "the worker ends");
    } else {
      if (outcome.status === "FAILED") logger.warn({ ...facts, err: outcome.cause }, "the job failed");
      reports.put(reportParcel(lease, outcome, toldInSpan(span, facts)));
    }
    this.#leave(seat);
  }

  #release(lease: Lease, reason: string): void {
    this.#options.releases.put({ lease, reason, bytes: 200 });
  }

  #leave(seat: Seat): void {
    if (!this.seats.leave(seat)) return;
    this.#options.onSeats();
    if (this.seats.size > 0) return;
    for (const tell of this.#whenIdle.splice(0)) tell();
  }

  #context(facts: JobFacts, attempt: number, lease: Lease): JobContext {
    const { logger, progress, heartbeat } = this.#options;
    let own: Logger | undefined;
    return {
      get signal() {
        return lease.signal;
      },
      attempt,
      maxAttempts: facts.maxAttempts,
      get logger() {
        own ??= withFacts(logger, { jobId: facts.id, type: facts.type, attempt });
        return own;
      },
      traceparent: facts.traceparent,
      job: facts,
      progress: (percent, note = "") => {
        const whole = percent === undefined ? undefined : Math.min(100, Math.max(0, Math.round(percent) || 0));
        progress(lease, whole, storableText(String(note), MAX_NOTE));
      },
      heartbeat: () => heartbeat(lease),
    };
  }
}

/** It failed because it was told to stop for the worker's sake: that is no fault of the job. */
function isInterrupted(lease: Lease, outcome: Outcome): boolean {
  return lease.reason instanceof Shutdown && outcome.status === "FAILED" && outcome.retryable;
}

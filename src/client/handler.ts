/** What a handler gets, and what a type of job says to a worker. */
import type { JobFacts } from "./job-view.ts";
import type { Logger } from "./logger.ts";
import type { StandardSchema } from "./standard-schema.ts";

/** A job as its handler gets it. */
export interface Job<P> extends JobFacts {
  payload: P;
}

/** CANCEL: stop, the job is to be cancelled. LOST: stop, it is someone else's. UNKNOWN: no broker answered. */
export type Verdict = "CONTINUE" | "CANCEL" | "LOST" | "UNKNOWN";

export interface JobContext {
  /** Aborted with a Cancelled, a LeaseLost or a Shutdown as its reason. */
  readonly signal: AbortSignal;
  /** From 1 to maxAttempts. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Adds the job's id and type and the attempt to each line. */
  readonly logger: Logger;
  /** W3C trace context of the producer. */
  readonly traceparent: string | undefined;
  readonly job: JobFacts;
  /** How far the work is, 0..100, with a note of at most 500 characters; sent within a second or so. Never throws. */
  progress(percent: number | undefined, note?: string): void;
  /** Extends the lease now. There is no need to: it is done in the background, also while a handler blocks. */
  heartbeat(): Promise<Verdict>;
}

/**
 * Does the work. What it returns is the result (an object, or nothing). What it throws is the failure: the job is tried
 * again, unless it is a Fatal; a RetryIn says when.
 */
export type Handler<P, R> = (job: Job<P>, ctx: JobContext) => R | Promise<R>;

/** What a worker needs to know of one type of job, whatever its payload. */
export interface TypeEntry {
  /** How many jobs of this type at a time, 1..1000; default 1. */
  readonly concurrency?: number;
  /** Any Standard Schema; a payload that does not fit is FAILED for good. The handler gets what the schema makes of it. */
  readonly payload?: StandardSchema | undefined;
  /** The same for what the handler returns; a result that does not fit is a failed attempt. */
  readonly result?: StandardSchema | undefined;
  readonly handler: Handler<never, unknown>;
}

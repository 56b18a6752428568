/** Waiting for the end of a job that was dispatched: a watch says when to look, and what is found counts. */
import { asBrokerError, BrokerError, type BrokerErrorFacts, isTransient, type StatusCode } from "./broker-error.ts";
import type { JobState, JobView } from "./job-view.ts";
import { pause } from "./pause.ts";
import type { WatchUpdate } from "./watch-view.ts";

/** How a job ended. */
export type JobOutcome<R = unknown> =
  | {
      status: "DONE";
      jobId: string;
      /** Spent in all. */
      attempts: number;
      /** Undefined: its worker sent none. */
      result: R | undefined;
      error: undefined;
    }
  | {
      status: "FAILED" | "CANCELLED";
      jobId: string;
      attempts: number;
      result: undefined;
      /** The last failure, or the reason of the cancel, where there is one. */
      error: string | undefined;
    };

/** A wait for a job's end that was in vain: `timeoutMs` passed (DEADLINE_EXCEEDED), or it broke off. The job goes on. */
export class WaitError extends BrokerError {
  readonly jobId: string;

  constructor(jobId: string, code: StatusCode, message: string, facts: BrokerErrorFacts = {}) {
    super(code, message, facts);
    this.jobId = jobId;
  }
}

export interface Waiting {
  jobId: string;
  /** Counts from `beganAt`, by performance.now(). Undefined: until it has ended. */
  timeoutMs: number | undefined;
  beganAt: number;
  signal: AbortSignal | undefined;
  watch(signal: AbortSignal): AsyncIterable<WatchUpdate>;
  get(signal: AbortSignal): Promise<JobView | undefined>;
  /** Calls back when the client is closed; answers how to forget that. */
  onClose(told: () => void): () => void;
  /** Looks at the job at least so often; default 5,000, more or less. */
  lookMs?: number;
}

/** A change may be held back by any long transaction of the database, but the job shows it at once. */
const LOOK_MS = 5_000;
/** The longest that a timer of Node's takes. */
const LONGEST_MS = 2 ** 31 - 1;

/** Resolves with the job as it ended. Rejects with a WaitError. */
export async function waitForEnd(waiting: Waiting): Promise<JobView & { status: Ended }> {
  const { jobId, timeoutMs, beganAt, signal, lookMs = LOOK_MS } = waiting;
  const news = new News();
  const over = new AbortController();
  let why: WaitError | undefined;
  const stop = (code: StatusCode, words: string) => () => {
    why ??= new WaitError(jobId, code, `${words}; the job goes on: ${jobId}`);
    over.abort();
    news.ring();
  };
  const late = stop("DEADLINE_EXCEEDED", `the job has not ended within ${timeoutMs} ms`);
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(late, Math.min(beganAt + timeoutMs - performance.now(), LONGEST_MS));
  const leave = stop("CANCELLED", "the wait for the job was given up");
  if (signal?.aborted) leave();
  signal?.addEventListener("abort", leave, { once: true });
  const forget = waiting.onClose(stop("CANCELLED", "the client was closed"));
  void listen(waiting, over.signal, news);
  try {
    for (;;) {
      await news.within(lookMs * (0.8 + 0.4 * Math.random()));
      const job = why === undefined ? await look(waiting, over.signal) : undefined;
      if (job !== undefined && hasEnded(job)) return job;
      if (why !== undefined) throw why;
    }
  } catch (thrown) {
    throw why ?? thrown;
  } finally {
    over.abort();
    clearTimeout(timer);
    signal?.removeEventListener("abort", leave);
    forget();
  }
}

/** What is worth telling of an ended job. */
export function outcomeOf<R>(job: JobView & { status: Ended }): JobOutcome<R> {
  const { id: jobId, status, attempts } = job;
  if (status === "DONE") return { status, jobId, attempts, result: job.result as R | undefined, error: undefined };
  const error = status === "CANCELLED" ? (job.cancelReason ?? job.lastError) : job.lastError;
  return { status, jobId, attempts, result: undefined, error };
}

type Ended = JobOutcome["status"];

/** Rings when the job may have ended. Should the watch fail for good, the looks go on without it. */
async function listen({ jobId, watch }: Waiting, signal: AbortSignal, news: News): Promise<void> {
  try {
    for await (const update of watch(signal)) {
      if (update.kind === "heartbeat") continue;
      const told = update.kind === "state" ? update.jobs : update.changes;
      const isGone = update.kind === "state" && update.unknownJobIds.includes(jobId);
      if (isGone || told.some(({ status }) => isEnd(status))) news.ring();
    }
  } catch {
    // A look meets the same fault, and says so.
    news.ring();
  }
}

/** The job as it is; undefined when it could not be asked for just now. */
async function look({ jobId, get }: Waiting, signal: AbortSignal): Promise<JobView | undefined> {
  let job: JobView | undefined;
  try {
    job = await get(signal);
  } catch (thrown) {
    const error = asBrokerError(thrown);
    if (isTransient(error)) return undefined;
    throw brokenOff(jobId, error);
  }
  if (job === undefined) throw gone(jobId);
  return job;
}

function brokenOff(jobId: string, error: BrokerError): WaitError {
  const { code, reason, field, retryAfterMs } = error;
  const facts = { reason, field, retryAfterMs, cause: error };
  return new WaitError(jobId, code, `the wait for the job broke off (${jobId}): ${error.message}`, facts);
}

function gone(jobId: string): WaitError {
  return new WaitError(jobId, "NOT_FOUND", `the job is gone: ${jobId}`, { reason: "JOB_NOT_FOUND" });
}

function hasEnded(job: JobView): job is JobView & { status: Ended } {
  return isEnd(job.status);
}

function isEnd(status: JobState | undefined): status is Ended {
  return status === "DONE" || status === "FAILED" || status === "CANCELLED";
}

/** A bell that is heard also when it rang before anybody listened. */
class News {
  #bell = new AbortController();

  ring(): void {
    this.#bell.abort();
  }

  async within(ms: number): Promise<void> {
    await pause(ms, this.#bell.signal);
    this.#bell = new AbortController();
  }
}

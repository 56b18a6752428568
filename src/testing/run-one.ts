/** One handler, called as a worker calls it, with no broker. */
import { runAttempt } from "../client/attempt.ts";
import type { Handler, JobContext, TypeEntry, Verdict } from "../client/handler.ts";
import type { JobFacts } from "../client/job-view.ts";
import { jsonObject } from "../client/json-text.ts";
import { type Logger, SILENT } from "../client/logger.ts";
import type { StandardSchema } from "../client/standard-schema.ts";

export interface RunOneOptions {
  /** Default "test". */
  type?: string;
  /** Default 1. */
  attempt?: number;
  /** Default 5. */
  maxAttempts?: number;
  /** What else the job is to have: tenantId, traceparent and so on. */
  job?: Partial<JobFacts>;
  /** The schemas that the worker has for this type. */
  payload?: StandardSchema;
  result?: StandardSchema;
  /** The handler's signal: abort it with a Cancelled, a LeaseLost or a Shutdown to see what it does. */
  signal?: AbortSignal;
  /** What ctx.heartbeat answers; default CONTINUE. */
  verdict?: Verdict;
  logger?: Logger;
  /** The broker's MAX_RESULT_BYTES; default 8 MiB. */
  maxResultBytes?: number;
}

/** What the worker would report, and what the handler said on the way. */
export interface Ran {
  status: "DONE" | "FAILED";
  /** As it comes out of JSON; undefined where the handler returned nothing. */
  result?: unknown;
  error?: string;
  /** Of a failure: whether there would be another attempt, as far as the handler has a say. */
  retryable?: boolean;
  /** After a RetryIn. */
  retryDelayMs?: number;
  progress: { percent: number | undefined; note: string }[];
  heartbeats: number;
}

const MAX_RESULT_BYTES = 8 * 1024 * 1024;

/**
 * Runs a handler to its end. Payload and result pass through JSON and the schemas as they do in a worker, and what is
 * thrown becomes what would be reported. Rejects only for a payload that no producer could dispatch.
 */
export async function runOne<P extends object, R>(
  handler: Handler<P, R>,
  payload: P,
  options: RunOneOptions = {},
): Promise<Ran> {
  const { type = "test", attempt = 1, maxAttempts = 5, maxResultBytes = MAX_RESULT_BYTES } = options;
  const facts: JobFacts = {
    id: "00000000-0000-7000-8000-000000000000",
    tenantId: undefined,
    sourceDomain: undefined,
    sourceId: undefined,
    priority: 0,
    traceparent: undefined,
    createdAt: new Date(),
    ...options.job,
    type,
    maxAttempts,
  };
  const said: Pick<Ran, "progress" | "heartbeats"> = { progress: [], heartbeats: 0 };
  const entry: TypeEntry = {
    handler: handler as Handler<never, unknown>,
    payload: options.payload,
    result: options.result,
  };
  const context = contextOf(facts, attempt, options, said);
  const outcome = await runAttempt(entry, facts, jsonObject(payload, "the payload"), context, maxResultBytes);
  if (outcome.status === "FAILED") {
    const { cause: _, ...failed } = outcome;
    return { ...failed, ...said };
  }
  const { resultJson } = outcome;
  return { status: "DONE", ...(resultJson === "" ? {} : { result: JSON.parse(resultJson) as unknown }), ...said };
}

function contextOf(
  job: JobFacts,
  attempt: number,
  { signal = new AbortController().signal, verdict = "CONTINUE", logger = SILENT }: RunOneOptions,
  said: Pick<Ran, "progress" | "heartbeats">,
): JobContext {
  return {
    signal,
    attempt,
    maxAttempts: job.maxAttempts,
    logger,
    traceparent: job.traceparent,
    job,
    progress: (percent, note = "") => void said.progress.push({ percent, note }),
    heartbeat: async () => {
      said.heartbeats += 1;
      return verdict;
    },
  };
}

/** A handler at work as a span in its job's trace, and the report of what came of it. */
import { type OpenSpan, startSpan } from "../tracing/spans.ts";
import type { Outcome } from "./attempt.ts";
import type { JobContext } from "./handler.ts";

/** Runs the attempt with its span as the active one, where an OpenTelemetry SDK is registered. */
export async function runInSpan(
  { job, attempt }: JobContext,
  attemptIt: () => Promise<Outcome>,
): Promise<{ outcome: Outcome; span: OpenSpan | undefined }> {
  const span = startSpan(`work ${job.type}`, {
    kind: "CONSUMER",
    parent: job.traceparent ?? null,
    attributes: { "aibroker.job.id": job.id, "aibroker.job.type": job.type, "aibroker.attempt": attempt },
  });
  const outcome = span === undefined ? await attemptIt() : await span.within(attemptIt);
  span?.end(outcome.status === "FAILED" ? outcome.cause : undefined, { "aibroker.outcome": outcome.status });
  return { outcome, span };
}

/** A span from now until the broker has answered the report: call what it returns with the answer. */
export function toldInSpan(
  work: OpenSpan | undefined,
  { jobId, type }: { jobId: string; type: string },
): ((status: string) => void) | undefined {
  if (work === undefined) return undefined;
  const span = startSpan(`report ${type}`, {
    kind: "CLIENT",
    parent: work.traceparent,
    attributes: { "aibroker.job.id": jobId, "aibroker.job.type": type },
  });
  return (status) => span?.end(undefined, { "aibroker.outcome": status });
}

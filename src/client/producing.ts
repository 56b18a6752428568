/** A dispatch as a span of its producer, and its jobs in the same trace. */
import { activeTraceparent, inSpan, startSpan } from "../tracing/spans.ts";

interface TracedJob {
  id: string;
  type?: string | undefined;
  traceparent?: string | undefined;
}

/**
 * Runs `send` in a span, where an OpenTelemetry SDK is registered. Jobs without a traceparent get the span's, or that of
 * the active one.
 */
export async function inProducerSpan<T>(jobs: readonly TracedJob[], send: () => Promise<T>): Promise<T> {
  const active = activeTraceparent();
  const [only, ...more] = jobs;
  const single = more.length === 0;
  const span = startSpan(single ? `dispatch ${only?.type ?? ""}` : "dispatch", {
    kind: "PRODUCER",
    // A job that says which trace it belongs to takes the span of its dispatch there.
    ...(active === undefined ? { parent: only?.traceparent ?? null } : {}),
    attributes: single
      ? { "aibroker.job.id": only?.id ?? "", "aibroker.job.type": only?.type ?? "" }
      : { "aibroker.jobs": jobs.length },
  });
  const own = span?.traceparent ?? active;
  if (own !== undefined) for (const job of jobs) job.traceparent ??= own;
  return await inSpan(span, send);
}

/** A Dispatch in its producer's trace, and its jobs with it. */
import type { NewJob } from "../store/rows.ts";
import { inSpan, startSpan } from "../tracing/spans.ts";
import { isSampled, readTraceparent } from "../tracing/traceparent.ts";
import { toConnectError } from "./errors.ts";

/** Traces that a span of many jobs points to. */
const MOST_LINKS = 32;

/**
 * Runs the dispatch in a span of ours, where an OpenTelemetry SDK is registered. Jobs without a traceparent get the
 * span's, or else `header`, the request's own traceparent, where it is one.
 */
export async function inTrace<T>(jobs: NewJob[], header: string | null, dispatch: () => Promise<T>): Promise<T> {
  const given = readTraceparent(header) === undefined ? null : header;
  const others = new Set(jobs.flatMap(({ traceparent }) => (isSampled(traceparent) ? [traceparent] : [])));
  const [parent = null, ...links] = given === null ? others : [given, ...others];
  const span = startSpan("dispatch", {
    kind: "SERVER",
    parent,
    links: links.slice(0, MOST_LINKS),
    attributes: attributesOf(jobs),
  });
  const own = span?.traceparent ?? given;
  if (own !== null) for (const job of jobs) job.traceparent ??= own;
  // In the words that the caller gets: errors of the database can quote a payload.
  return await inSpan(span, dispatch, toConnectError);
}

function attributesOf(jobs: readonly NewJob[]) {
  const [only, ...more] = jobs;
  if (only === undefined || more.length > 0) return { "aibroker.jobs": jobs.length };
  return { "aibroker.job.id": only.id, "aibroker.job.type": only.type };
}

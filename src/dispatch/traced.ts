/** The broker's part of a job's trace: a span for its claim and one for its report, as children of its traceparent. */
import type { Lease, LeaseRef } from "../store/rows.ts";
import { isTracing, startSpan } from "../tracing/spans.ts";
import { isSampled } from "../tracing/traceparent.ts";
import { Lately } from "./lately.ts";
import type { Recorder } from "./recorder.ts";

/** Leases whose trace is kept until their reports come. */
const MOST_UNDER_WAY = 50_000;

/** As the recorder, with spans for jobs whose trace is recorded, while an OpenTelemetry SDK is registered. */
export function traced(record: Recorder): Recorder {
  const traces = new Lately<string>(MOST_UNDER_WAY);

  function claimed(lease: Lease, tookMs: number): void {
    const { traceparent: parent } = lease;
    if (!isSampled(parent)) return;
    traces.set(lease.token, parent);
    const attributes = { ...factsOf(lease), "aibroker.worker.id": lease.workerId, "aibroker.attempt": lease.attempt };
    startSpan(`claim ${lease.type}`, { kind: "INTERNAL", parent, beganMsAgo: tookMs, attributes })?.end();
  }

  function reported(token: string | null | undefined, jobId: string, outcome: string, tookMs: number): void {
    const parent = traces.take(token);
    if (parent === undefined) return;
    const attributes = { "aibroker.job.id": jobId, "aibroker.outcome": outcome };
    startSpan("report", { kind: "SERVER", parent, beganMsAgo: tookMs, attributes })?.end();
  }

  const forget = (leases: readonly Partial<LeaseRef>[]) => {
    if (traces.size > 0) for (const { token } of leases) traces.take(token);
  };

  return {
    ...record,
    claimed(leases, ended, tookMs) {
      record.claimed(leases, ended, tookMs);
      if (isTracing()) for (const lease of leases) claimed(lease, tookMs);
    },
    reported(reports, settled, tookMs) {
      record.reported(reports, settled, tookMs);
      if (traces.size === 0) return;
      settled.forEach(({ jobId, status, to }, at) => {
        reported(reports[at]?.token, jobId, to ?? status, tookMs);
      });
    },
    legacyReported(settled) {
      record.legacyReported(settled);
      traces.take(settled.token);
    },
    released(leases, released) {
      record.released(leases, released);
      forget(leases.filter((_, at) => released[at]?.released));
    },
    reclaimed(taken) {
      record.reclaimed(taken);
      forget(taken.map(({ token }) => ({ token: token ?? undefined })));
    },
  };
}

function factsOf({ jobId, type }: Lease) {
  return { "aibroker.job.id": jobId, "aibroker.job.type": type };
}

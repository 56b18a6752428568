/** One log line per state change: which job, by whom, which attempt, how long. No payloads, no tokens. */
import type { Logger } from "pino";
import type { Lease, Trace } from "../store/rows.ts";

export interface Change extends Omit<Trace, "instanceId"> {
  jobId: string;
}

/** Writes nothing when nothing changed. */
export function trace(log: Logger, move: string, change: Change, more: Record<string, unknown> = {}): void {
  if (change.to === null) return;
  log.info(
    {
      move,
      job_id: change.jobId,
      type: change.type,
      to: change.to,
      attempt: change.attempt,
      ...(change.durationMs === null ? {} : { duration_ms: Math.round(change.durationMs) }),
      ...more,
    },
    `${move} ${change.jobId} → ${change.to}`,
  );
}

/** A line for each lease that has begun. */
export function traceClaimed(log: Logger, leases: readonly Lease[]): void {
  for (const { jobId, type, attempt, workerId } of leases) {
    trace(log, "claim", { jobId, type, to: "RUNNING", attempt, durationMs: null }, { worker: workerId });
  }
}

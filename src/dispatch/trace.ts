/** State changes in the log: which job, by whom, which attempt, how long. No payloads, no tokens. */
import type { Logger } from "pino";
import type { Lease, Trace } from "../store/rows.ts";

export interface Change extends Omit<Trace, "instanceId"> {
  jobId: string;
}

type More = Record<string, unknown>;

/** From so many of one statement on they share lines, which costs a busy broker a third less CPU. */
const MANY = 25;
/** Jobs on a line: log shippers cut lines of more than some 16 KB, and a job takes up to 200 bytes as a rule. */
const A_LINE = 50;

/** One line; nothing when nothing changed. */
export function trace(log: Logger, move: string, change: Change, more: More = {}): void {
  const { jobId, to } = change;
  if (to === null) return;
  log.info({ move, job_id: jobId, type: change.type, to, ...factsOf(change, more) }, `${move} ${jobId} → ${to}`);
}

/** A line for each change, or, when there are many, lines with `count` and `jobs`, which have the same fields. */
export function traceAll<C extends Change>(
  log: Logger,
  move: string,
  changes: readonly C[],
  moreOf: (change: C) => More = () => ({}),
): void {
  if (!log.isLevelEnabled("info")) return;
  if (changes.length < MANY) {
    for (const change of changes) trace(log, move, change, moreOf(change));
    return;
  }
  for (const [to, moved] of Map.groupBy(changes, (change) => change.to)) {
    if (to === null) continue;
    for (let from = 0; from < moved.length; from += A_LINE) {
      traceTogether(log, move, to, moved.slice(from, from + A_LINE), moreOf);
    }
  }
}

function traceTogether<C extends Change>(
  log: Logger,
  move: string,
  to: Change["to"],
  changes: readonly C[],
  moreOf: (change: C) => More,
): void {
  const [first] = changes;
  if (first !== undefined && changes.length === 1) {
    trace(log, move, first, moreOf(first));
    return;
  }
  const jobs = changes.map((change) => {
    return { job_id: change.jobId, type: change.type, ...factsOf(change, moreOf(change)) };
  });
  log.info({ move, to, count: jobs.length, jobs }, `${move} of ${jobs.length} jobs → ${to}`);
}

/** For each lease that has begun. */
export function traceClaimed(log: Logger, leases: readonly Lease[]): void {
  const claimed = leases.map(({ jobId, type, attempt, workerId }) => {
    return { jobId, type, attempt, workerId, to: "RUNNING" as const, durationMs: null };
  });
  traceAll(log, "claim", claimed, ({ workerId }) => ({ worker: workerId }));
}

function factsOf({ attempt, durationMs }: Change, more: More): More {
  return { attempt, ...(durationMs === null ? {} : { duration_ms: Math.round(durationMs) }), ...more };
}

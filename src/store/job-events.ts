/** Read: what happened to one job, and who has it now. */
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import { type EventFacts, type EventFactsRow, toEventFacts } from "./event-facts.ts";
import type { Progress } from "./rows.ts";

/** The attempt under way. */
export interface JobLease {
  /** Null: Django wrote no name. */
  workerId: string | null;
  instanceId: string | null;
  attempt: number;
  lockedAt: Date | null;
  /** Null: never reclaimed. */
  expiresAt: Date | null;
  /** Equal to lockedAt until the first heartbeat. */
  lastHeartbeatAt: Date | null;
  progress: Progress | null;
  /** When a requested cancel is carried out although the worker has not stopped. */
  cancelAt: Date | null;
  /** The database's time of the look. */
  lookedAt: Date;
}

export interface JobEvents {
  /** Those that are kept, the oldest first. */
  events: EventFacts[];
  /** The seq behind which the next page begins; null: this was the last. */
  next: number | null;
  /** Null: nobody holds the job. */
  lease: JobLease | null;
}

/** A page behind the seq; null where neither the job nor an event of it is there. */
export async function jobEvents(
  db: Database,
  jobId: string,
  { after, size }: { after: number; size: number },
): Promise<JobEvents | null> {
  const [rows, [job]] = await Promise.all([
    db.drizzle.execute<EventNumbers>(sql`
      SELECT extract(epoch FROM at)::float8 * 1000 AS at_ms, job_id, seq::float8 AS seq, kind, job_type, attempt, tenant_id,
        source_domain, source_id, worker_id, error
      FROM ai_event WHERE job_id = ${jobId} AND seq > ${String(after)}::text::bigint ORDER BY job_id, seq, id
      LIMIT ${size + 1}`),
    db.drizzle.execute<LeaseNumbers>(sql`
      SELECT j.status = 'RUNNING' AS held, j.locked_by, j.instance_id, j.attempt_count,
        extract(epoch FROM j.locked_at)::float8 * 1000 AS locked_ms,
        extract(epoch FROM j.lease_expires_at)::float8 * 1000 AS expires_ms,
        extract(epoch FROM j.last_heartbeat_at)::float8 * 1000 AS beat_ms, j.progress_percent, j.progress_note,
        extract(epoch FROM l.cancel_at)::float8 * 1000 AS cancel_ms, extract(epoch FROM now())::float8 * 1000 AS now_ms
      FROM ai_job j LEFT JOIN ai_lease l ON l.id = j.id WHERE j.job_id = ${jobId}`),
  ]);
  if (job === undefined && rows.length === 0 && after === 0) return null;
  const events = rows.slice(0, size).map(({ at_ms, ...row }) => toEventFacts({ ...row, at: new Date(at_ms) }));
  const next = rows.length > size ? (events.at(-1)?.seq ?? null) : null;
  return { events, next, lease: job?.held ? leaseOf(job) : null };
}

type EventNumbers = Omit<EventFactsRow, "at"> & { at_ms: number } & Record<string, unknown>;

interface LeaseNumbers extends Record<string, unknown> {
  held: boolean;
  locked_by: string | null;
  instance_id: string | null;
  attempt_count: number;
  locked_ms: number | null;
  expires_ms: number | null;
  beat_ms: number | null;
  progress_percent: number | null;
  progress_note: string | null;
  cancel_ms: number | null;
  now_ms: number;
}

function leaseOf(row: LeaseNumbers): JobLease {
  const none = row.progress_percent === null && row.progress_note === null;
  return {
    workerId: row.locked_by,
    instanceId: row.instance_id,
    attempt: row.attempt_count,
    lockedAt: dateOf(row.locked_ms),
    expiresAt: dateOf(row.expires_ms),
    lastHeartbeatAt: dateOf(row.beat_ms),
    progress: none ? null : { percent: row.progress_percent, note: row.progress_note },
    cancelAt: dateOf(row.cancel_ms),
    lookedAt: new Date(row.now_ms),
  };
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

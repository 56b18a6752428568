/**
 * The rows of ai_event, as each move writes them: in the statement that moves the job, so that an event may be told late
 * or twice, and is never lost. A job's events are numbered by event_seq of its own row, which is locked then; kinds that
 * are not kept leave their numbers out.
 */
import type { Fragment } from "postgres";
import { type EventKind, type KeptKinds, TERMINAL_KINDS } from "../job/events.ts";
import type { Sql } from "./db.ts";

/** What differs from move to move; each but `kind` as SQL over the rows of `from`. */
export interface EventColumns {
  seq: string;
  /** What a job that has not ended is told as, or each, where no `status` is given; absent: all have ended. */
  kind?: EventKind;
  /** The state after the move: an ended job is told as that. */
  status?: string;
  attempt: string;
  worker: string;
  error: string;
}

/** Characters of an error that an event carries; the job has it whole. */
const ERROR_CHARS = 1_000;

/**
 * A CTE, with a comma before it, that writes an event for each row of `from` that has job_id, job_type, tenant_id,
 * source_domain and source_id, and whose kind is kept; nothing is left of it where none can be.
 */
export function eventsOf(sql: Sql, name: string, from: Fragment, columns: EventColumns, kept: KeptKinds): Fragment {
  const { seq, kind, status, attempt, worker, error } = columns;
  const drops = kind !== undefined && !isKept(kind, kept);
  if (drops && status === undefined) return sql``;
  const which = drops ? `${status} <> 'PENDING'` : "true";
  return sql`, ${sql.unsafe(name)} AS (
      INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, tenant_id, source_domain, source_id, worker_id, error)
      SELECT job_id, ${sql.unsafe(seq)}, ${sql.unsafe(kindOf(kind, status))}, job_type, ${sql.unsafe(attempt)}, tenant_id,
        source_domain, source_id, left(${sql.unsafe(worker)}, 128),
        left(${sql.unsafe(error)}, ${sql.unsafe(String(ERROR_CHARS))})
      FROM ${from} WHERE ${sql.unsafe(which)}
    )`;
}

function kindOf(kind: EventKind | undefined, status: string | undefined): string {
  if (status === undefined) return `'${kind}'`;
  return kind === undefined
    ? `lower(${status})`
    : `CASE ${status} WHEN 'PENDING' THEN '${kind}' ELSE lower(${status}) END`;
}

export function isKept(kind: EventKind, kept: KeptKinds): boolean {
  return kept.has(kind) || (TERMINAL_KINDS as readonly EventKind[]).includes(kind);
}

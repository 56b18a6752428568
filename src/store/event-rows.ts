/**
 * The rows of ai_event, as each move writes them: in the statement that moves the job, so that an event may be told late
 * or twice, and is never lost. A job's events are numbered by event_seq of its own row, which is locked then; kinds that
 * are not kept leave their numbers out.
 */
import type { Fragment } from "postgres";
import { type EventKind, type KeptKinds, TERMINAL_KINDS } from "../job/events.ts";
import type { Sql } from "./db.ts";

/** What differs from move to move, each as SQL over the rows of `from`. */
export interface EventColumns {
  seq: string;
  kind: string;
  attempt: string;
  worker: string;
  error: string;
}

/** Characters of an error that an event carries; the job has it whole. */
const ERROR_CHARS = 1_000;

/**
 * A CTE, with a comma before it, that writes an event for each row of `from` that has job_id, job_type, tenant_id,
 * source_domain and source_id. `kinds` are those that `kind` may come to: nothing is left of the CTE where none is kept.
 */
export function eventsOf(
  sql: Sql,
  name: string,
  from: Fragment,
  columns: EventColumns,
  kinds: readonly EventKind[],
  kept: KeptKinds,
): Fragment {
  const dropped = kinds.filter((kind) => !isKept(kind, kept));
  if (dropped.length === kinds.length) return sql``;
  const { seq, kind, attempt, worker, error } = columns;
  const which = dropped.length === 0 ? "true" : `${kind} NOT IN (${dropped.map((k) => `'${k}'`).join(", ")})`;
  return sql`, ${sql.unsafe(name)} AS (
      INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, tenant_id, source_domain, source_id, worker_id, error)
      SELECT job_id, ${sql.unsafe(seq)}, ${sql.unsafe(kind)}, job_type, ${sql.unsafe(attempt)}, tenant_id, source_domain,
        source_id, left(${sql.unsafe(worker)}, 128), left(${sql.unsafe(error)}, ${sql.unsafe(String(ERROR_CHARS))})
      FROM ${from} WHERE ${sql.unsafe(which)}
    )`;
}

function isKept(kind: EventKind, kept: KeptKinds): boolean {
  return kept.has(kind) || (TERMINAL_KINDS as readonly EventKind[]).includes(kind);
}

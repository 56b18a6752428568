/** Read: how many jobs of each type there are, by what they wait for. */

import { BrokerError } from "../errors.ts";
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import { ENDED_TIMEOUT_MS, isTimeout } from "./statement-timeout.ts";

export interface TypeStats {
  type: string;
  /** PENDING, and its time has come. */
  due: number;
  /** PENDING, its time still to come. */
  scheduled: number;
  running: number;
  done: number;
  failed: number;
  cancelled: number;
  paused: boolean;
  /** How long the oldest due job has been due, and since when; null when none is. */
  oldestDueMs: number | null;
  oldestDueAt: Date | null;
}

export interface Stats {
  types: TypeStats[];
  /** The database's time of the count. */
  countedAt: Date;
}

/** So many types at most, the first by name: types are free text, and an answer has a limit. */
const MOST_TYPES = 10_000;

/**
 * Counts pending and running jobs by the small tables, and the ended ones by ai_job if asked. All numbers are of one
 * moment. Throws BAD_FIELD when counting the ended ones takes longer than 30 s.
 */
export async function stats(db: Database, options: { includeEnded: boolean }): Promise<Stats> {
  if (!options.includeEnded) return await count(db.drizzle, false);
  try {
    return await db.drizzle.transaction(async (tx) => {
      await tx.execute(sql`SELECT set_config('statement_timeout', ${String(ENDED_TIMEOUT_MS)}, true)`);
      return await count(tx, true);
    });
  } catch (error) {
    throw isTimeout(error) ? tooMany(error) : error;
  }
}

function tooMany(cause: unknown): BrokerError {
  const message = `counting all ended jobs took longer than ${ENDED_TIMEOUT_MS / 1_000} s: ask without it`;
  return new BrokerError("BAD_FIELD", `include_ended: ${message}`, { field: "include_ended", cause });
}

type Numbers = Omit<TypeStats, "type" | "oldestDueMs" | "oldestDueAt"> & {
  job_type: string | null;
  oldest_due_ms: number | null;
  oldest_ms: number | null;
};

async function count(db: Pick<Database["drizzle"], "execute">, includeEnded: boolean): Promise<Stats> {
  const ended = sql`
    SELECT job_type, count(*) FILTER (WHERE status = 'DONE') AS done,
      count(*) FILTER (WHERE status = 'FAILED') AS failed, count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled
    FROM ai_job GROUP BY job_type`;
  const nothing = sql`SELECT NULL::varchar AS job_type, 0 AS done, 0 AS failed, 0 AS cancelled WHERE false`;
  const rows = await db.execute<Numbers & { counted_ms: number }>(sql`
    WITH ready AS (
      SELECT job_type, count(*) FILTER (WHERE run_at <= now()) AS due, count(*) FILTER (WHERE run_at > now()) AS scheduled,
        min(run_at) AS oldest
      FROM ai_ready GROUP BY job_type
    ), running AS (
      -- The limit makes it one look-up for each lease, however many jobs have ended.
      SELECT j.job_type, count(*) AS running
      FROM ai_lease l CROSS JOIN LATERAL (SELECT job_type FROM ai_job WHERE id = l.id LIMIT 1) j GROUP BY j.job_type
    ), ended AS (${includeEnded ? ended : nothing}),
    type AS (
      SELECT job_type FROM ready UNION SELECT job_type FROM running UNION SELECT job_type FROM ended
      UNION SELECT job_type FROM ai_type_pause ORDER BY job_type LIMIT ${MOST_TYPES}
    )
    SELECT t.job_type, coalesce(r.due, 0)::float8 AS due, coalesce(r.scheduled, 0)::float8 AS scheduled,
      coalesce(l.running, 0)::float8 AS running, coalesce(e.done, 0)::float8 AS done,
      coalesce(e.failed, 0)::float8 AS failed, coalesce(e.cancelled, 0)::float8 AS cancelled,
      p.job_type IS NOT NULL AS paused,
      CASE WHEN r.due > 0 THEN extract(epoch FROM now() - r.oldest)::float8 * 1000 END AS oldest_due_ms,
      CASE WHEN r.due > 0 THEN extract(epoch FROM r.oldest)::float8 * 1000 END AS oldest_ms,
      extract(epoch FROM now())::float8 * 1000 AS counted_ms
    FROM (SELECT) one LEFT JOIN type t ON true LEFT JOIN ready r USING (job_type) LEFT JOIN running l USING (job_type)
      LEFT JOIN ended e USING (job_type) LEFT JOIN ai_type_pause p USING (job_type)
    ORDER BY t.job_type`);
  return {
    types: rows.flatMap(({ job_type: type, oldest_due_ms: oldestDueMs, oldest_ms, counted_ms: _, ...numbers }) => {
      const oldestDueAt = oldest_ms === null ? null : new Date(oldest_ms);
      return type === null ? [] : [{ ...numbers, type, oldestDueMs, oldestDueAt }];
    }),
    countedAt: new Date(rows[0]?.counted_ms ?? Number.NaN),
  };
}

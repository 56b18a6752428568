/** Read: the jobs that a watcher asks for, as they are at one moment, and the place in the events that goes with it. */
import type { Status } from "../job/status.ts";
import type { Database } from "./db.ts";
import { type SQL, sql } from "./drizzle.ts";
import { DURABLE } from "./durable.ts";
import type { EventFilter, EventPlace } from "./events.ts";
import { type Snapshot, snapshotOf } from "./snapshot.ts";

export interface WatchedJob {
  jobId: string;
  type: string;
  status: Status;
  attempt: number;
  tenantId: string | null;
  sourceDomain: string | null;
  sourceId: string | null;
  workerId: string | null;
  error: string;
  seq: number;
  updatedAt: Date;
}

export interface WatchState {
  /** At most limit + 1 of them. */
  jobs: WatchedJob[];
  /** Nothing before it can come any more. */
  from: EventPlace;
  /** What the state shows already, although it lies behind `from`. */
  snapshot: Snapshot;
}

/**
 * All jobs that fit where ids or a whole source are given; otherwise those that wait or run, since ended ones may be
 * millions. Reads at most limit + 1.
 */
export async function watchState(db: Database, filter: EventFilter, limit: number): Promise<WatchState> {
  // One transaction: the place and the jobs belong to one moment.
  return await db.drizzle.transaction(
    async (tx) => {
      const [now] = await tx.execute<{ xmin: string; snapshot: string }>(
        sql`SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin, pg_current_snapshot()::text AS snapshot`,
      );
      const rows = await tx.execute<WatchedRow>(sql`
        SELECT j.job_id, j.job_type, j.status, j.attempt_count, j.tenant_id, j.source_domain, j.source_id, j.locked_by,
          left(j.last_error, 1000) AS error, j.event_seq::float8 AS seq,
          extract(epoch FROM j.updated_at)::float8 * 1000 AS updated_ms
        FROM ${subjects(filter)} j WHERE ${matching(filter)} ORDER BY j.id LIMIT ${limit + 1}`);
      // As eventsNow.
      await tx.execute(sql`SELECT ${sql.raw(DURABLE)}`);
      return {
        jobs: rows.map(toWatched),
        from: { xid: String(now?.xmin), id: "0" },
        snapshot: snapshotOf(String(now?.snapshot)) as Snapshot,
      };
    },
    { isolationLevel: "repeatable read" },
  );
}

interface WatchedRow extends Record<string, unknown> {
  job_id: string;
  job_type: string;
  status: Status;
  attempt_count: number;
  tenant_id: string | null;
  source_domain: string | null;
  source_id: string | null;
  locked_by: string | null;
  error: string;
  seq: number;
  updated_ms: number;
}

function toWatched(row: WatchedRow): WatchedJob {
  return {
    jobId: row.job_id,
    type: row.job_type,
    status: row.status,
    attempt: row.attempt_count,
    tenantId: row.tenant_id,
    sourceDomain: row.source_domain,
    sourceId: row.source_id,
    workerId: row.locked_by,
    error: row.error,
    seq: row.seq,
    updatedAt: new Date(row.updated_ms),
  };
}

function subjects({ jobIds, types, sourceDomain, sourceId }: EventFilter): SQL {
  if (jobIds !== undefined) {
    return sql`(SELECT a.* FROM unnest(${sql.param(jobIds)}::text[]) AS i (job_id)
      CROSS JOIN LATERAL (SELECT * FROM ai_job WHERE job_id = i.job_id OFFSET 0) a)`;
  }
  if (sourceDomain !== undefined && sourceId !== undefined) return sql`ai_job`;
  const ofTypes = types === undefined ? sql`true` : sql`job_type = ANY (${sql.param(types)}::text[])`;
  return sql`(SELECT a.* FROM (SELECT id FROM ai_ready WHERE ${ofTypes} UNION ALL SELECT id FROM ai_lease) l
    CROSS JOIN LATERAL (SELECT * FROM ai_job WHERE id = l.id AND status IN ('PENDING', 'RUNNING') OFFSET 0) a)`;
}

function matching({ types, tenantId, sourceDomain, sourceId }: EventFilter): SQL {
  const parts = [sql`true`];
  if (types !== undefined) parts.push(sql`j.job_type = ANY (${sql.param(types)}::text[])`);
  if (tenantId !== undefined) parts.push(sql`j.tenant_id = ${tenantId}`);
  if (sourceDomain !== undefined) parts.push(sql`j.source_domain = ${sourceDomain}`);
  if (sourceId !== undefined) parts.push(sql`j.source_id = ${sourceId}`);
  return sql.join(parts, sql` AND `);
}

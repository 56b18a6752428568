/** Jobs put into the tables as they would stand there, for the reads. */
import type { Database } from "../../src/store/db.ts";
import type { JobFilter } from "../../src/store/list-jobs.ts";

/** A filter that lets all jobs through. */
export const ANY: JobFilter = {
  statuses: [],
  types: [],
  tenantId: null,
  sourceDomain: null,
  sourceId: null,
  workerId: null,
  errorContains: null,
  createdAfter: null,
  createdBefore: null,
};

export interface GivenRow {
  job_id: string;
  job_type?: string;
  status?: "PENDING" | "RUNNING" | "DONE" | "FAILED" | "CANCELLED";
  payload?: string;
  tenant_id?: string;
  source_domain?: string;
  source_id?: string;
  locked_by?: string;
  locked_at?: string;
  last_heartbeat_at?: string;
  lease_token?: string;
  last_error?: string;
  created_at?: string;
  next_run_at?: string;
}

/** In this order, so that the last is the newest; with the small tables' rows that belong to them. */
export async function givenRows(db: Database, rows: GivenRow[]): Promise<void> {
  await db.sql`
    INSERT INTO ai_job (job_id, job_type, status, payload, tenant_id, source_domain, source_id, locked_by, locked_at, last_heartbeat_at,
      lease_token, last_error, created_at, next_run_at, move)
    SELECT r.job_id, coalesce(r.job_type, 'ocr'), coalesce(r.status, 'PENDING'), coalesce(r.payload, '{}')::jsonb,
      r.tenant_id, r.source_domain, r.source_id, r.locked_by, r.locked_at, r.last_heartbeat_at, r.lease_token,
      coalesce(r.last_error, ''), coalesce(r.created_at, now()), coalesce(r.next_run_at, now()), 1
    FROM ROWS FROM (json_to_recordset(${JSON.stringify(rows)}::text::json) AS (job_id text, job_type text, status text,
      payload text, tenant_id text, source_domain text, source_id text, locked_by text, locked_at timestamptz,
      last_heartbeat_at timestamptz, lease_token text,
      last_error text, created_at timestamptz, next_run_at timestamptz)) WITH ORDINALITY AS r
    ORDER BY r.ordinality`;
  await fillSmallTables(db);
}

/** So many jobs that are DONE, the newest of all. */
export async function givenEndedRows(db: Database, count: number): Promise<void> {
  await db.sql`
    INSERT INTO ai_job (job_id, job_type, status, source_domain, source_id, move)
    SELECT 'ended-' || n, 'ocr', 'DONE', 'exams', (n % 10)::text, 1 FROM generate_series(1, ${count}::int) AS n`;
}

async function fillSmallTables(db: Database): Promise<void> {
  await db.sql`
    INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
    SELECT job_type, priority, next_run_at, id, 2 FROM ai_job WHERE status = 'PENDING' ON CONFLICT DO NOTHING`;
  await db.sql`
    INSERT INTO ai_lease (id, worker_id) SELECT id, locked_by FROM ai_job WHERE status = 'RUNNING' ON CONFLICT DO NOTHING`;
}

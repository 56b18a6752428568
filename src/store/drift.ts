/**
 * Whether the small tables agree with ai_job, and how they are made to agree again. A drift is the work of somebody who
 * went around the triggers (session_replication_role, a restore of one table); the fill of a new ai_ready is the same
 * walk. Each batch looks without a lock, and only where something is wrong it locks the job, looks again, and mends it.
 */
import type { PendingQuery, Row } from "postgres";
import type { Sql } from "./db.ts";
import { retrying } from "./retry-statement.ts";

export type DriftKind = "not_ready" | "not_leased" | "wrong_ready" | "wrong_lease";

export interface Drift {
  kind: DriftKind;
  /** Of the ai_job row, or what the state row takes for one. */
  id: number;
  /** Of a wrong_ready: its key, as texts. */
  key?: string[];
}

/** Where a walk stands; opaque. */
export interface SweepCursor {
  part: "jobs" | "leases" | "ready";
  /** The last key seen: an id, or the key of ai_ready. */
  after: unknown[];
}

export interface Swept {
  /** Where the next batch begins; null after the last. */
  next: SweepCursor | null;
  repaired: number;
  /** Wrong, but locked by somebody else just now: the next walk sees them again. */
  skipped: number;
}

interface Look {
  next: SweepCursor | null;
  found: Drift[];
}

const LOWEST = "-9223372036854775808";
const FIRST: SweepCursor = { part: "jobs", after: [LOWEST] };

/** One batch of the walk, without a lock and without a change. */
async function look(sql: Sql, cursor: SweepCursor, batch: number): Promise<Look> {
  if (cursor.part === "jobs") return lookAtJobs(sql, cursor, batch);
  if (cursor.part === "leases") return lookAtLeases(sql, cursor, batch);
  return lookAtReady(sql, cursor, batch);
}

async function lookAtJobs(sql: Sql, cursor: SweepCursor, batch: number): Promise<Look> {
  const [row] = await sql`
    WITH j AS MATERIALIZED (
      SELECT id, status, job_type, priority, next_run_at FROM ai_job
      WHERE id > ${String(cursor.after[0])}::text::bigint ORDER BY id LIMIT ${batch}
    )
    SELECT (SELECT max(id)::text FROM j) AS last, (SELECT count(*)::int FROM j) AS seen,
      (SELECT json_agg(j.id) FROM j WHERE j.status = 'PENDING' AND NOT EXISTS (
        SELECT FROM ai_ready r WHERE r.job_type = j.job_type AND r.priority = j.priority AND r.run_at = j.next_run_at
          AND r.id = j.id)) AS not_ready,
      (SELECT json_agg(j.id) FROM j WHERE j.status = 'RUNNING' AND NOT EXISTS (
        SELECT FROM ai_lease l WHERE l.id = j.id)) AS not_leased`;
  const full = Number(row?.["seen"]) >= batch;
  return {
    next: full ? { part: "jobs", after: [row?.["last"]] } : { part: "leases", after: [LOWEST] },
    found: [...drifts("not_ready", row?.["not_ready"]), ...drifts("not_leased", row?.["not_leased"])],
  };
}

async function lookAtLeases(sql: Sql, cursor: SweepCursor, batch: number): Promise<Look> {
  const [row] = await sql`
    WITH l AS MATERIALIZED (
      SELECT id FROM ai_lease WHERE id > ${String(cursor.after[0])}::text::bigint ORDER BY id LIMIT ${batch}
    )
    SELECT (SELECT max(id)::text FROM l) AS last, (SELECT count(*)::int FROM l) AS seen,
      (SELECT json_agg(l.id) FROM l WHERE NOT EXISTS (
        SELECT FROM ai_job j WHERE j.id = l.id AND j.status = 'RUNNING')) AS wrong`;
  const full = Number(row?.["seen"]) >= batch;
  return {
    next: full
      ? { part: "leases", after: [row?.["last"]] }
      : { part: "ready", after: ["", "-2147483648", "-infinity", LOWEST] },
    found: drifts("wrong_lease", row?.["wrong"]),
  };
}

async function lookAtReady(sql: Sql, cursor: SweepCursor, batch: number): Promise<Look> {
  const [type, priority, runAt, id] = cursor.after.map(String) as [string, string, string, string];
  const [row] = await sql`
    WITH r AS MATERIALIZED (
      SELECT job_type, priority, run_at, id FROM ai_ready
      WHERE (job_type, priority, run_at, id)
        > (${type}::text, ${priority}::text::int, ${runAt}::text::timestamptz, ${id}::text::bigint)
      ORDER BY job_type, priority, run_at, id LIMIT ${batch}
    )
    SELECT (SELECT count(*)::int FROM r) AS seen,
      (SELECT json_build_array(job_type, priority::text, run_at::text, id::text) FROM r
        ORDER BY job_type DESC, priority DESC, run_at DESC, id DESC LIMIT 1) AS last,
      (SELECT json_agg(json_build_array(job_type, priority::text, run_at::text, id::text)) FROM r WHERE NOT EXISTS (
        SELECT FROM ai_job j WHERE j.id = r.id AND j.status = 'PENDING' AND j.job_type = r.job_type
          AND j.priority = r.priority AND j.next_run_at = r.run_at)) AS wrong`;
  const full = Number(row?.["seen"]) >= batch;
  return {
    next: full ? { part: "ready", after: row?.["last"] as unknown[] } : null,
    found: ((row?.["wrong"] as string[][] | null) ?? []).map((key) => ({
      kind: "wrong_ready",
      id: Number(key[3]),
      key,
    })),
  };
}

const drifts = (kind: DriftKind, ids: unknown): Drift[] =>
  ((ids as number[] | null) ?? []).map((id) => ({ kind, id: Number(id) }));

/**
 * Mends what a look has found, a statement for each kind, never a transaction: a connection that dies inside `begin`
 * takes the process along (postgres.js 3.4.9). Each statement locks the job rows first, as every writer does, and goes
 * by what they say then. Answers how many of the drifts are well now; who is locked is left for the next walk.
 */
async function mend(sql: Sql, found: Drift[]): Promise<number> {
  if (found.length === 0) return 0;
  const ids = [...new Set(found.map((drift) => String(drift.id)))];
  const locked = sql`
    locked AS MATERIALIZED (
      SELECT * FROM ai_job WHERE id = ANY(${ids}::text[]::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )`;
  await retrying(() => deleteWrongReady(sql, locked, found));
  await retrying(
    () => sql`WITH ${locked} DELETE FROM ai_lease l WHERE l.id = ANY(${ids}::text[]::bigint[])
      AND (l.id IN (SELECT id FROM locked WHERE status <> 'RUNNING') OR NOT EXISTS (SELECT FROM ai_job WHERE id = l.id))`,
  );
  await retrying(
    () => sql`WITH ${locked} INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT job_type, priority, next_run_at, id, octet_length(payload::text) FROM locked WHERE status = 'PENDING'
      ON CONFLICT DO NOTHING`,
  );
  const rows = await retrying(
    () => sql`WITH ${locked}, lease AS (
      INSERT INTO ai_lease (id, expires_at, worker_id, cancel_at, instance_id)
      SELECT id, lease_expires_at, locked_by, CASE WHEN cancel_requested_at IS NOT NULL THEN now() + interval '30 s' END,
        instance_id
      FROM locked WHERE status = 'RUNNING' ON CONFLICT DO NOTHING
    )
    SELECT i.id FROM unnest(${ids}::text[]) AS i (id) LEFT JOIN ai_job j ON j.id = i.id::bigint
    WHERE j.id IS NULL OR j.id IN (SELECT id FROM locked)`,
  );
  const well = new Set(rows.map((row) => String(row["id"])));
  return found.filter((drift) => well.has(String(drift.id))).length;
}

async function deleteWrongReady(sql: Sql, locked: PendingQuery<Row[]>, found: Drift[]): Promise<void> {
  const keys = found.flatMap((drift) => (drift.key === undefined ? [] : [drift.key]));
  if (keys.length === 0) return;
  const column = (at: number) => keys.map((key) => key[at] ?? "");
  await sql`WITH ${locked} DELETE FROM ai_ready r
    USING unnest(${column(0)}::text[], ${column(1)}::text[]::int[], ${column(2)}::text[]::timestamptz[],
      ${column(3)}::text[]::bigint[]) AS k (job_type, priority, run_at, id)
    WHERE r.job_type = k.job_type AND r.priority = k.priority AND r.run_at = k.run_at AND r.id = k.id
      AND (NOT EXISTS (SELECT FROM ai_job j WHERE j.id = r.id) OR EXISTS (SELECT FROM locked j WHERE j.id = r.id
        AND (j.status, j.job_type, j.priority, j.next_run_at)
          IS DISTINCT FROM ('PENDING', r.job_type, r.priority, r.run_at)))`;
}

/** Looks at one batch and mends it; the caller goes on from `next`, at its own pace, until it is null. */
export async function sweep(sql: Sql, options: { from?: SweepCursor | null; batch?: number } = {}): Promise<Swept> {
  const { next, found } = await look(sql, options.from ?? FIRST, options.batch ?? 1_000);
  const repaired = await mend(sql, found);
  return { next, repaired, skipped: found.length - repaired };
}

export interface DriftReport {
  drifts: Drift[];
  /** False when the walk ended at a bound: there may be more. */
  complete: boolean;
}

/** Walks the tables without a change, until `limit` drifts are found or `maxJobs` rows are seen. */
export async function findDrift(sql: Sql, options: { limit?: number; maxJobs?: number } = {}): Promise<DriftReport> {
  const { limit = 100, maxJobs = 1_000_000 } = options;
  const batch = 5_000;
  const drifts: Drift[] = [];
  let at: SweepCursor | null = FIRST;
  for (let seen = 0; at !== null && seen < maxJobs && drifts.length < limit; seen += batch) {
    const { next, found }: Look = await look(sql, at, batch);
    drifts.push(...found);
    at = next;
  }
  return { drifts: drifts.slice(0, limit), complete: at === null && drifts.length <= limit };
}

/** Mends drifts that were found before; each is looked at again first. Answers how many are well now. */
export async function repairDrift(sql: Sql, drifts: Drift[]): Promise<number> {
  return mend(sql, drifts);
}

/**
 * Job ids of PENDING and RUNNING jobs that were DONE or CANCELLED before: Django's publish or mark_failed opened them
 * again. Such a job runs a second time, and its next result replaces the first. Looks at maxJobs of each state.
 */
export async function findReopened(sql: Sql, options: { limit?: number; maxJobs?: number } = {}): Promise<string[]> {
  const rows = await sql`
    WITH open AS MATERIALIZED (
      (SELECT id FROM ai_lease LIMIT ${options.maxJobs ?? 100_000}) UNION ALL
      (SELECT id FROM ai_ready LIMIT ${options.maxJobs ?? 100_000})
    )
    SELECT DISTINCT j.id, j.job_id FROM open JOIN ai_job j ON j.id = open.id LEFT JOIN ai_result r ON r.job_id = j.id
    WHERE j.status IN ('PENDING', 'RUNNING') AND (j.settled_as IN ('DONE', 'CANCELLED')
      -- Django's own FAILED leaves a result row too, but an error text with it.
      OR (r.id IS NOT NULL AND j.error_message = '')
      OR (j.cancel_reason IS NOT NULL AND j.cancel_requested_at IS NULL))
    ORDER BY j.id LIMIT ${options.limit ?? 100}`;
  return rows.map((row) => String(row["job_id"]));
}

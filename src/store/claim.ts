/**
 * Move: due jobs become a worker's leases, in claim order (priority, run_at, id).
 *
 * The cost does not depend on the backlog. `lane` hops over the distinct (job_type, priority) of ai_ready, `head` looks
 * at no more than `limit` rows of each to learn how many each lane owes, `locked` locks just those, passing over what
 * another claim holds (postgres.md 1, 2, 16). Where all that is owed cannot be had, a wide round looks at every lane.
 */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";
import { among, jobOf } from "./lookups.ts";
import type { Lease, Reclaimed } from "./rows.ts";

export interface ClaimOptions {
  workerId: string;
  /** Empty: any type. */
  types: string[];
  limit: number;
  leaseMs: number;
  /** Bytes in the answer at most, payloads and about 2 KiB a job beside; the first job comes whatever its size. */
  maxBytes: number;
  /** Random text; each lease's token is made from it. */
  token: string;
  /** Kept with the leases, for replay. */
  requestId: string | null;
}

export interface Claimed {
  leases: Lease[];
  /** Jobs that were met with no attempt left, or with a cancel requested, and ended here instead. */
  ended: Reclaimed[];
}

/** Claims up to `limit` due jobs of types that are not paused; fewer only if there are few, or others hold some. */
export async function claim(sql: Sql, options: ClaimOptions): Promise<Claimed> {
  const claimed: Claimed = { leases: [], ended: [] };
  // A batch that met only jobs to be ended says nothing about those behind them: go on (the seed's defect 3). Nor does
  // one whose rows are all held by others: one wide round then looks behind them, in every lane.
  for (let round = 0; ; round++) {
    const rows = await claimStatement(sql, {
      ...options,
      token: round === 0 ? options.token : `${options.token}.${round}`,
      look: round === 0 ? null : Math.min(MOST_LOOKED_AT, options.limit * 2 ** round),
    });
    const before = claimed.ended.length;
    for (const row of rows) {
      if (row.status === "RUNNING") claimed.leases.push(toLease(row, options.leaseMs));
      else if (row.status !== null) claimed.ended.push(toEnded(row, row.status));
    }
    const held = rows.some((row) => row.status === null);
    if (claimed.leases.length > 0 || (claimed.ended.length === before && !(held && round === 0))) return claimed;
  }
}

/** What a job's ids, names and times may add to its payload in an answer: all at their limits, in 3-byte characters. */
const FACTS_BYTES = 2_048;

/** Rows of one lane that a wide round looks at. */
const MOST_LOOKED_AT = 500;

/** The leases of an earlier Claim with this request_id that are still held. */
export async function replayClaim(sql: Sql, workerId: string, requestId: string, leaseMs: number): Promise<Lease[]> {
  const rows = await sql<LeaseRow[]>`
    SELECT j.job_id, j.job_type, j.payload::text AS payload, j.tenant_id, j.source_domain, j.source_id, j.priority,
      j.max_attempts, j.next_run_at, j.idempotency_key, j.traceparent, j.created_at, j.status, j.lease_token,
      j.attempt_count, j.lease_expires_at, j.locked_by
    FROM ai_lease l JOIN ai_job j ON j.id = l.id AND j.status = 'RUNNING' AND j.lease_token IS NOT NULL
    WHERE l.worker_id = ${workerId} AND l.request_id = ${requestId}
    ORDER BY j.priority, j.next_run_at, j.id`;
  return rows.map((row) => toLease(row, leaseMs));
}

interface LeaseRow {
  job_id: string;
  job_type: string;
  payload: string;
  tenant_id: string | null;
  source_domain: string | null;
  source_id: string | null;
  priority: number;
  max_attempts: number;
  next_run_at: Date;
  idempotency_key: string | null;
  traceparent: string | null;
  created_at: Date;
  /** Null, as all the rest: rows are due, and others hold them all. */
  status: "RUNNING" | "FAILED" | "CANCELLED" | null;
  lease_token: string;
  attempt_count: number;
  lease_expires_at: Date;
  locked_by: string;
}

function toLease(row: LeaseRow, leaseMs: number): Lease {
  return {
    jobId: row.job_id,
    type: row.job_type,
    payload: row.payload,
    tenantId: row.tenant_id,
    sourceDomain: row.source_domain,
    sourceId: row.source_id,
    priority: row.priority,
    maxAttempts: row.max_attempts,
    runAt: row.next_run_at,
    idempotencyKey: row.idempotency_key,
    traceparent: row.traceparent,
    createdAt: row.created_at,
    token: row.lease_token,
    attempt: row.attempt_count,
    expiresAt: row.lease_expires_at,
    leaseMs,
    workerId: row.locked_by,
  };
}

function toEnded(row: LeaseRow, to: Status): Reclaimed {
  const { job_id: jobId, job_type: type, attempt_count: attempt } = row;
  return { jobId, type, attempt, to, durationMs: null, workerId: null };
}

/**
 * The one statement of a claim; exported so that its plan can be tested. `look` null: each lane is asked for what it
 * owes; else it is a wide round, which locks up to so many rows of every lane and takes the first that it may.
 */
export function claimStatement(sql: Sql, options: ClaimOptions & { look?: number | null }) {
  return sql<LeaseRow[]>`
    WITH RECURSIVE ${options.types.length === 0 ? anyLanes(sql) : lanesOf(sql, options.types)}, ${rest(sql, options)}`;
}

function anyLanes(sql: Sql) {
  return sql`
    walk AS (
      (SELECT job_type, priority FROM ai_ready ORDER BY job_type, priority LIMIT 1)
      UNION ALL
      SELECT n.job_type, n.priority FROM walk w CROSS JOIN LATERAL (
        SELECT r.job_type, r.priority FROM ai_ready r WHERE (r.job_type, r.priority) > (w.job_type, w.priority)
        ORDER BY r.job_type, r.priority LIMIT 1) n
    )`;
}

function lanesOf(sql: Sql, types: string[]) {
  return sql`
    walk AS (
      SELECT n.job_type, n.priority FROM (SELECT DISTINCT unnest(${types}::varchar[]) AS job_type) t CROSS JOIN LATERAL (
        SELECT r.job_type, r.priority FROM ai_ready r WHERE r.job_type = t.job_type
        ORDER BY r.job_type, r.priority LIMIT 1) n
      UNION ALL
      SELECT n.job_type, n.priority FROM walk w CROSS JOIN LATERAL (
        SELECT r.job_type, r.priority FROM ai_ready r WHERE r.job_type = w.job_type AND r.priority > w.priority
        ORDER BY r.job_type, r.priority LIMIT 1) n
    )`;
}

function rest(sql: Sql, o: ClaimOptions & { look?: number | null }) {
  const wide = o.look != null;
  return sql`
    lane AS MATERIALIZED (
      SELECT w.* FROM walk w WHERE NOT EXISTS (SELECT FROM ai_type_pause p WHERE p.job_type = w.job_type)
    ), head AS MATERIALIZED (
      SELECT job_type, priority, count(*) AS take FROM (
        SELECT r.*, sum(r.bytes + ${FACTS_BYTES}) OVER (ORDER BY r.priority, r.run_at, r.id) AS total,
          row_number() OVER (ORDER BY r.priority, r.run_at, r.id) AS nth
        FROM lane l CROSS JOIN LATERAL (
          SELECT * FROM ai_ready r
          WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at <= now()
          ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT ${o.look ?? o.limit}) r
        ORDER BY r.priority, r.run_at, r.id LIMIT ${wide ? null : o.limit}) h
      WHERE nth = 1 OR total <= ${wide ? Number.MAX_SAFE_INTEGER : o.maxBytes}
      GROUP BY job_type, priority
    ), locked AS MATERIALIZED (
      SELECT x.* FROM head h CROSS JOIN LATERAL (
        SELECT r.ctid AS place, r.id, r.priority, r.run_at, r.bytes,
          CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
            WHEN j.attempt_count >= coalesce(nullif(j.max_attempts, 0), 5) THEN 'FAILED' END AS ends_as
        FROM ai_ready r CROSS JOIN LATERAL (${jobOf(sql, "r.id", "PENDING")}) j
        WHERE r.job_type = h.job_type AND r.priority = h.priority AND r.run_at <= now()
        ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT h.take
        FOR UPDATE OF r, j SKIP LOCKED) x
    ), taken AS MATERIALIZED (
      SELECT * FROM (
        SELECT *, count(*) FILTER (WHERE ends_as IS NULL) OVER so_far AS nth,
          sum(bytes + ${FACTS_BYTES}) FILTER (WHERE ends_as IS NULL) OVER so_far AS bytes_so_far
        FROM locked WINDOW so_far AS (ORDER BY priority, run_at, id)) s
      WHERE ends_as IS NOT NULL OR (nth <= ${o.limit} AND (nth = 1 OR bytes_so_far <= ${o.maxBytes}))
    ), gone AS (
      DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(SELECT place FROM taken))
    ), run AS (
      UPDATE ai_job j SET status = 'RUNNING', attempt_count = j.attempt_count + 1, deliveries = j.deliveries + 1,
        -- As Django's claim leaves it.
        max_attempts = coalesce(nullif(j.max_attempts, 0), 5),
        locked_by = ${o.workerId}, locked_at = now(), last_heartbeat_at = now(), updated_at = now(),
        lease_expires_at = now() + ${o.leaseMs}::float8 * interval '1 millisecond',
        lease_token = ${o.token}::text || '.' || j.id, settled_token = NULL, settled_as = NULL,
        progress_percent = NULL, progress_note = NULL, move = j.move + 1
      FROM taken t WHERE j.id = t.id AND t.ends_as IS NULL AND ${among(sql, "j.id", "taken")}
      RETURNING j.*, t.bytes, t.run_at
    ), ended AS (
      UPDATE ai_job j SET status = t.ends_as, finished_at = now(), updated_at = now(), move = j.move + 1,
        error_message = CASE WHEN t.ends_as = 'FAILED' AND j.error_message = '' THEN 'max_attempts_exceeded'
          ELSE j.error_message END,
        last_error = CASE WHEN t.ends_as = 'FAILED' AND j.last_error = '' THEN 'max_attempts_exceeded'
          ELSE j.last_error END
      FROM taken t WHERE j.id = t.id AND t.ends_as IS NOT NULL AND ${among(sql, "j.id", "taken")}
      RETURNING j.*, t.bytes, t.run_at
    ), lease AS (
      INSERT INTO ai_lease (id, expires_at, worker_id, request_id)
      SELECT id, lease_expires_at, ${o.workerId}, ${o.requestId} FROM run
      -- A row that drifted must not stop the queue.
      ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, worker_id = excluded.worker_id,
        request_id = excluded.request_id, cancel_at = NULL
    )
    SELECT job_id, job_type, payload::text AS payload, tenant_id, source_domain, source_id, priority, max_attempts,
      next_run_at, idempotency_key, traceparent, created_at, status, lease_token, attempt_count, lease_expires_at,
      locked_by
    FROM (SELECT) always LEFT JOIN (SELECT * FROM run UNION ALL SELECT * FROM ended) m ON true
    WHERE job_id IS NOT NULL OR EXISTS (SELECT FROM head) ORDER BY priority, run_at, id`;
}

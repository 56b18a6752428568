/**
 * The one statement of a claim. Its cost does not depend on the backlog: `lane` hops over the distinct (job_type,
 * priority) of ai_ready, `head` looks at no more than `limit` rows of each to learn how many each lane owes, `locked`
 * locks just those, passing over what another claim holds (postgres.md 1, 2, 16). Where all that is owed cannot be had,
 * a wide round looks at every lane.
 */
import type { Fragment } from "postgres";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Sql } from "./db.ts";
import { type EventColumns, eventsOf } from "./event-rows.ts";
import { ALL_LANES, jobOf } from "./lookups.ts";
import type { LaneStart } from "./rows.ts";

export interface LeaseRow {
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
  status: "RUNNING";
  lease_token: string;
  attempt_count: number;
  lease_expires_at: Date;
  locked_by: string;
}

export interface SeatRow extends LeaseRow {
  instance_id: string;
  session_id: string;
}

/** Of a claim for many calls: `session_id` is the number of the call, from 1. */
export interface CallRow extends LeaseRow {
  session_id: string;
}

/** A job that was met and ended. */
export interface EndedRow {
  status: "FAILED" | "CANCELLED";
  job_id: string;
  job_type: string;
  attempt_count: number;
}

/** The only row, and all null: no job moved, although some are due, or seats are dead. */
export interface HeldRow {
  status: null;
}

export type ClaimRow<L extends LeaseRow = LeaseRow> = (L | EndedRow | HeldRow) & {
  /** Due jobs that it saw, of as many as it was to take. The same in each row, as is the next. */
  due: number;
  dead_seats: number;
};

export interface Round {
  types: string[];
  leaseMs: number;
  maxBytes: number;
  token: string;
  /**
   * Null: each lane is asked for what it owes. Else it is a wide round, which locks up to so many rows of every lane
   * and takes the first that it may.
   */
  look?: number | null;
  /** The lanes, and where in them to begin; absent: all lanes of the types, from their front. */
  from?: readonly LaneStart[] | undefined;
  /** Of which events rows are written; absent: of all. */
  kept?: KeptKinds;
  /** A lease row that drifted must not stop the queue: where one stands in the way, it is written over. */
  wary?: boolean;
}

/** Who gets the jobs: the parts in which a claim for one and claims for many differ (claim-takers.ts). */
export interface Takers {
  /** How many jobs there may be. */
  limit: Fragment;
  /** CTEs before the lanes, and between `taken` and the update; each with a comma behind. */
  before: Fragment;
  after: Fragment;
  /** Of the job `j`; requestId of the row of `run`. */
  workerId: Fragment;
  instanceId: Fragment;
  sessionId: Fragment;
  requestId: Fragment;
  deadSeats: Fragment;
}

/** What a job's ids, names and times may add to its payload in an answer: all at their limits, in 3-byte characters. */
export const FACTS_BYTES = 2_048;

/** The whole statement. */
export function claimBy<L extends LeaseRow>(sql: Sql, round: Round, takers: Takers) {
  return sql<ClaimRow<L>[]>`
    WITH RECURSIVE ${takers.before} ${lanesOf(sql, round.types, round.from)}, ${picked(sql, round, takers)}, ${takers.after}
    ${moved(sql, round, takers)}
    SELECT job_id, job_type, payload::text AS payload, tenant_id, source_domain, source_id, priority, max_attempts,
      next_run_at, idempotency_key, traceparent, created_at, status, lease_token, attempt_count, lease_expires_at,
      locked_by, instance_id, session_id, coalesce((SELECT sum(seen) FROM head), 0)::int AS due,
      ${takers.deadSeats} AS dead_seats
    FROM (SELECT) always LEFT JOIN (SELECT * FROM run UNION ALL SELECT * FROM ended) m ON true
    WHERE job_id IS NOT NULL OR EXISTS (SELECT FROM head) OR ${takers.deadSeats} > 0 ORDER BY priority, next_run_at, id`;
}

/** `walk`: the lanes of these types, or of all where there are none; `lane`: those of them that are not paused. */
export function lanesOf(sql: Sql, types: string[], from?: readonly LaneStart[]) {
  const walk = types.length === 0 ? sql.unsafe(ALL_LANES) : walkOf(sql, types);
  return sql`
    ${from === undefined ? walk : startsOf(sql, from)},
    lane AS MATERIALIZED (
      SELECT w.* FROM walk w WHERE NOT EXISTS (SELECT FROM ai_type_pause p WHERE p.job_type = w.job_type)
    )`;
}

/** `walk` again: lanes that are known, each with the place where its rows are looked at from. */
export function startsOf(sql: Sql, from: readonly LaneStart[]) {
  return sql`
    walk AS (
      SELECT * FROM unnest(${from.map(({ type }) => type)}::text[]::varchar[],
        ${from.map(({ priority }) => String(priority))}::text[]::int[],
        ${from.map(({ runAt }) => runAt)}::text[]::timestamptz[], ${from.map(({ id }) => id)}::text[]::bigint[])
        AS i (job_type, priority, from_at, from_id)
    )`;
}

function walkOf(sql: Sql, types: string[]) {
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

/** For the rows `r` of a lane `l`: those from its start on, where lanes have starts (startsOf); else all. */
export function behindStart(sql: Sql, from: readonly LaneStart[] | undefined) {
  return from === undefined ? sql`` : sql`AND (r.run_at, r.id) >= (l.from_at, l.from_id)`;
}

const PLACE = ", from_at, from_id";

/** From the lanes to `taken`: jobs to run (ends_as null, counted by nth) and jobs to be ended, all locked. */
function picked(sql: Sql, round: Round, { limit }: Takers) {
  const look = round.look ?? null;
  const start = behindStart(sql, round.from);
  const place = sql.unsafe(round.from === undefined ? "" : PLACE);
  return sql`
    head AS MATERIALIZED (
      SELECT job_type, priority ${place}, count(*) AS seen, count(*) FILTER (
        WHERE nth = 1 OR total <= ${look === null ? round.maxBytes : Number.MAX_SAFE_INTEGER}) AS take FROM (
        SELECT r.* ${place}, sum(r.bytes + ${FACTS_BYTES}) OVER (ORDER BY r.priority, r.run_at, r.id) AS total,
          row_number() OVER (ORDER BY r.priority, r.run_at, r.id) AS nth
        FROM lane l CROSS JOIN LATERAL (
          SELECT * FROM ai_ready r
          WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at <= now() ${start}
          ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT ${look === null ? limit : sql`${look}`}) r
        ORDER BY r.priority, r.run_at, r.id LIMIT ${look === null ? limit : sql`NULL`}) h
      GROUP BY job_type, priority ${place}
    ), locked AS MATERIALIZED (
      SELECT x.* FROM head l CROSS JOIN LATERAL (
        SELECT r.ctid AS place, r.id, r.priority, r.run_at, r.bytes,
          CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
            WHEN j.attempt_count >= coalesce(nullif(j.max_attempts, 0), 5) THEN 'FAILED' END AS ends_as
        FROM ai_ready r CROSS JOIN LATERAL (${jobOf(sql, "r.id", "PENDING")}) j
        WHERE r.job_type = l.job_type AND r.priority = l.priority AND r.run_at <= now() ${start}
        ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT l.take
        FOR UPDATE OF r, j SKIP LOCKED) x
    ), taken AS MATERIALIZED (
      SELECT * FROM (
        SELECT *, count(*) FILTER (WHERE ends_as IS NULL) OVER so_far AS nth,
          sum(bytes + ${FACTS_BYTES}) FILTER (WHERE ends_as IS NULL) OVER so_far AS bytes_so_far
        FROM locked WINDOW so_far AS (ORDER BY priority, run_at, id)) s
      WHERE ends_as IS NOT NULL OR (nth <= ${limit} AND (nth = 1 OR bytes_so_far <= ${round.maxBytes}))
    )`;
}

const STARTED: EventColumns = {
  seq: "event_seq",
  kind: "started",
  attempt: "attempt_count",
  worker: "locked_by",
  error: "NULL",
};
const MET_END: EventColumns = {
  seq: "event_seq",
  status: "status",
  attempt: "attempt_count",
  worker: "NULL",
  error: "CASE status WHEN 'FAILED' THEN last_error END",
};

/** What is read of a job that was moved: no more, since each is copied into a tuple of its own. */
const MOVED = `j.id, j.job_id, j.event_seq, j.status, j.job_type, j.attempt_count, j.locked_by, j.instance_id,
  j.lease_expires_at, j.tenant_id, j.source_domain, j.source_id, j.priority, j.next_run_at, j.last_error, j.max_attempts,
  j.idempotency_key, j.traceparent, j.created_at, j.lease_token, j.payload`;

const OVER = `ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, worker_id = excluded.worker_id,
  request_id = excluded.request_id, instance_id = excluded.instance_id, cancel_at = NULL`;

/**
 * What becomes of `taken`. Nothing is joined to it: a plan from the time of small tables compares each job with each
 * row then, and a claim of 500 took 480 ms where it now takes 30.
 */
function moved(sql: Sql, round: Round, takers: Takers) {
  const { workerId, instanceId, sessionId, requestId } = takers;
  const kept = round.kept ?? ALL_KINDS;
  return sql`
    gone AS (
      DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(SELECT place FROM taken))
    ), run AS (
      UPDATE ai_job j SET status = 'RUNNING', attempt_count = j.attempt_count + 1, deliveries = j.deliveries + 1,
        -- As Django's claim leaves it.
        max_attempts = coalesce(nullif(j.max_attempts, 0), 5),
        locked_by = ${workerId}, locked_at = now(), last_heartbeat_at = now(), updated_at = now(),
        event_seq = j.event_seq + 1, lease_expires_at = now() + ${round.leaseMs}::float8 * interval '1 millisecond',
        lease_token = ${round.token}::text || '.' || j.id, settled_token = NULL, settled_as = NULL,
        instance_id = ${instanceId}, progress_percent = NULL, progress_note = NULL, move = j.move + 1
      WHERE j.id = ANY (ARRAY(SELECT id FROM taken WHERE ends_as IS NULL))
      RETURNING ${sql.unsafe(MOVED)}, (${sessionId})::text AS session_id
    ), ended AS (
      UPDATE ai_job j SET status = CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED' ELSE 'FAILED' END,
        finished_at = now(), updated_at = now(), event_seq = j.event_seq + 1, move = j.move + 1,
        error_message = CASE WHEN j.cancel_requested_at IS NULL AND j.error_message = '' THEN 'max_attempts_exceeded'
          ELSE j.error_message END,
        last_error = CASE WHEN j.cancel_requested_at IS NULL AND j.last_error = '' THEN 'max_attempts_exceeded'
          ELSE j.last_error END
      WHERE j.id = ANY (ARRAY(SELECT id FROM taken WHERE ends_as IS NOT NULL))
      RETURNING ${sql.unsafe(MOVED)}, NULL::text
    ), lease AS (
      INSERT INTO ai_lease (id, expires_at, worker_id, request_id, instance_id)
      SELECT id, lease_expires_at, locked_by, ${requestId}, instance_id FROM run ${round.wary ? sql.unsafe(OVER) : sql``}
    )${eventsOf(sql, "started", sql`run`, STARTED, kept)}
    ${eventsOf(sql, "met_end", sql`ended`, MET_END, kept)}`;
}

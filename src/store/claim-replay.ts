/** Move: the leases of a Claim whose answer was lost are given to its repeat. */
import { toLease } from "./claim.ts";
import { FACTS_BYTES, type LeaseRow } from "./claim-statement.ts";
import type { Sql } from "./db.ts";
import { among, extendedLease, jobOf, movedSince, namedJobs } from "./lookups.ts";
import type { Lease, LeaseRef } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/** What a repeated Claim asks for. */
export interface Repeat {
  workerId: string;
  requestId: string;
  limit: number;
  leaseMs: number;
  /** As for a claim: bytes in the answer at most, where the first lease comes whatever its size. */
  maxBytes: number;
}

/** What became of an earlier Claim: leases for its repeat, and those that no answer has room for. */
export interface Replay {
  held: Lease[];
  rest: LeaseRef[];
}

/**
 * The leases of an earlier Claim with this request_id that are still held. They run anew, as with a heartbeat: from now
 * on they are ones that their worker has seen, so that no other broker gives them back. There may be more than one answer
 * holds, where two brokers answered two tries at once: those with a heartbeat come first, then the newest.
 */
export async function replayClaim(sql: Sql, repeat: Repeat): Promise<Replay> {
  for (;;) {
    const rows = await replayStatement(sql, repeat);
    // A heartbeat came between, or a reclaim and a new claim: which, this statement cannot see.
    if (rows.some((row) => row.moved)) continue;
    const told = (isTold: boolean) => rows.filter((row) => row.held && row.told === isTold);
    return {
      held: told(true).map((row) => toLease(row, repeat.leaseMs)),
      rest: told(false).map((row) => ({ jobId: row.job_id, token: row.lease_token })),
    };
  }
}

function replayStatement(pool: Sql, { workerId, requestId, limit, leaseMs, maxBytes }: Repeat) {
  const sql = quickly(pool);
  const extended = (column: string) => extendedLease(sql, column, leaseMs);
  return sql<(LeaseRow & { moved: boolean; held: boolean; told: boolean })[]>`
    WITH mine AS MATERIALIZED (
      SELECT j.job_id FROM ai_lease l CROSS JOIN LATERAL (${jobOf(sql, "l.id", "RUNNING")}) j
      WHERE l.worker_id = ${workerId} AND l.request_id = ${requestId}
    ), met AS MATERIALIZED (
      SELECT j.*, m.moved, NOT m.moved AND coalesce(j.status = 'RUNNING' AND j.lease_token IS NOT NULL, false) AS held
      FROM ${namedJobs(sql, "mine")} CROSS JOIN LATERAL (SELECT ${movedSince(sql)} AS moved) m
    ), room AS MATERIALIZED (
      SELECT *, row_number() OVER w AS nth, sum(octet_length(payload::text) + ${FACTS_BYTES}::int) OVER w AS bytes,
        bool_or(moved) OVER () AS again
      FROM met
      WINDOW w AS (PARTITION BY held ORDER BY last_heartbeat_at = locked_at, locked_at DESC, priority, next_run_at, id
        ROWS UNBOUNDED PRECEDING)
    ), chosen AS MATERIALIZED (
      -- A round that is to go again must leave no sign of life behind, by which the next one would choose.
      SELECT *, held AND NOT again AND nth <= ${limit}::int AND (nth = 1 OR bytes <= ${maxBytes}::bigint) AS told FROM room
    ), beat AS (
      UPDATE ai_job j SET last_heartbeat_at = now(), updated_at = now(), move = j.move + 1,
        lease_expires_at = ${extended("j.lease_expires_at")}
      WHERE ${among(sql, "j.id", "chosen", "told")}
    ), lease AS (
      UPDATE ai_lease l SET expires_at = ${extended("l.expires_at")} WHERE ${among(sql, "l.id", "chosen", "told")}
    )
    SELECT moved, held, told, job_id, job_type, tenant_id, source_domain, source_id, priority,
      CASE WHEN told THEN payload::text END AS payload, max_attempts, next_run_at, idempotency_key, traceparent,
      created_at, status, lease_token, attempt_count, locked_by, ${extended("lease_expires_at")} AS lease_expires_at
    FROM chosen ORDER BY priority, next_run_at, id`;
}

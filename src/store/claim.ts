/**
 * Move: due jobs become workers' leases, in claim order (priority, run_at, id): for one worker that asks, or for many
 * that wait on their streams. The statement is in claim-statement.ts.
 */
import type { KeptKinds } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { ClaimRow, LeaseRow, SeatRow } from "./claim-statement.ts";
import { callsStatement, claimStatement, seatsStatement } from "./claim-takers.ts";
import type { Sql } from "./db.ts";
import { type LaneStarts, timedFrom } from "./lane-starts.ts";
import { unlessInTheWay } from "./retry-statement.ts";
import type { Claimer, LaneStart, Lease, Reclaimed, Seat, SeatLease } from "./rows.ts";
import { quickly } from "./statement-text.ts";

export { claimStatement } from "./claim-takers.ts";

interface AnyClaim {
  /** Empty: any type. */
  types: string[];
  leaseMs: number;
  /** Bytes in the answer at most, payloads and about 2 KiB a job beside; the first job comes whatever its size. */
  maxBytes: number;
  /** Random text; each lease's token is made from it. */
  token: string;
  /** Of which events rows are written; absent: of all. */
  kept?: KeptKinds;
  /** Absent: always from the front of each lane. */
  starts?: LaneStarts;
}

export type ClaimOptions = AnyClaim & Claimer;

export interface SeatClaimOptions extends AnyClaim {
  /** In the order in which they get jobs, one for each job that may be taken, at most 1,000. */
  seats: Seat[];
}

export interface Claimed<L = Lease> {
  leases: L[];
  /** Jobs that were met with no attempt left, or with a cancel requested, and ended here instead. */
  ended: Reclaimed[];
  /** Seats whose session was not the current one, so that fewer jobs could be taken; 0 for one worker's claim. */
  deadSeats: number;
  /** Fewer jobs are due than were asked for: nothing is left behind, unless others hold it. */
  isShort: boolean;
}

/**
 * Claims up to `limit` due jobs of types that are not paused; fewer only if there are few, others hold some, or some lie in
 * front of a lane's start; none only if there are none, or others hold all.
 */
export async function claim(sql: Sql, options: ClaimOptions): Promise<Claimed> {
  return inRounds(
    options,
    options.limit,
    (round) => claimStatement(quickly(sql), { ...options, ...round }),
    (row) => toLease(row, options.leaseMs),
  );
}

/**
 * As many claims in one, for calls with the same types; answers the leases by call, in order. All together are within
 * `limit` of maxBytes, so a call may get fewer jobs than by itself. Calls that take one job each get them in the order of
 * `calls`; others take turns.
 */
export async function claimForCalls(
  sql: Sql,
  options: AnyClaim & { calls: Claimer[] },
): Promise<Omit<Claimed<Lease[]>, "deadSeats">> {
  const { calls, leaseMs } = options;
  const limit = calls.reduce((sum, call) => sum + call.limit, 0);
  const { leases, ended, isShort } = await inRounds(
    options,
    limit,
    (round) => callsStatement(quickly(sql), { ...options, ...round }),
    (row) => ({ call: Number(row.session_id) - 1, lease: toLease(row, leaseMs) }),
  );
  const byCall = calls.map(() => [] as Lease[]);
  for (const { call, lease } of leases) byCall[call]?.push(lease);
  return { leases: byCall, ended, isShort };
}

/**
 * Claims a due job for each seat whose session is the instance's current one: the first job in claim order goes to the
 * first such seat, and so on. A seat of a session that was ended or superseded before the claim began gets nothing, and
 * the job that it would have had goes to the next.
 */
export async function claimForSeats(sql: Sql, options: SeatClaimOptions): Promise<Claimed<SeatLease>> {
  return inRounds(
    options,
    options.seats.length,
    (round) => seatsStatement(quickly(sql), { ...options, ...round }),
    (row) => toSeatLease(row, options.leaseMs),
  );
}

/** Rows of one lane that a wide round looks at. */
const MOST_LOOKED_AT = 500;

interface RoundOf {
  token: string;
  look: number | null;
  from: readonly LaneStart[] | undefined;
  wary: boolean;
}

async function inRounds<R extends LeaseRow, L>(
  { token, types, starts }: AnyClaim,
  limit: number,
  run: (round: RoundOf) => Promise<ClaimRow<R>[]>,
  toLeaseOf: (row: R) => L,
): Promise<Claimed<L>> {
  const claimed: Claimed<L> = { leases: [], ended: [], deadSeats: 0, isShort: false };
  const from = starts?.of(types);
  let wideRounds = 0;
  // A batch that met only jobs to be ended says nothing about those behind them: go on (the seed's defect 3). Nor does
  // one whose rows are all held by others: one wide round then looks behind them, in every lane.
  for (let round = 0; ; round++) {
    const how = {
      token: round === 0 ? token : `${token}.${round}`,
      look: wideRounds === 0 ? null : Math.min(MOST_LOOKED_AT, limit * 2 ** wideRounds),
      from,
    };
    const rows = await timedFrom(starts, from, () => unlessInTheWay((wary) => run({ ...how, wary })));
    const before = claimed.ended.length;
    claimed.deadSeats = rows[0]?.dead_seats ?? 0;
    const asked = limit - claimed.deadSeats;
    for (const row of rows) {
      if (row.status === "RUNNING") claimed.leases.push(toLeaseOf(row));
      else if (row.status !== null) claimed.ended.push(toEnded(row, row.status));
    }
    const due = rows[0]?.due ?? 0;
    const got = claimed.leases.length + claimed.ended.length - before;
    // Short of jobs behind the starts: there may be some in front of them.
    if (from !== undefined && claimed.leases.length > 0) return { ...claimed, isShort: false };
    // What was seen and not got was cut by its size or is held by others: worth another claim, if this one got any.
    claimed.isShort = asked > 0 && (claimed.leases.length === 0 || (due < asked && got >= due));
    const held = rows.some((row) => row.status === null && row.due > 0);
    if (claimed.leases.length > 0) return claimed;
    if (claimed.ended.length > before || (held && wideRounds === 0)) {
      wideRounds += 1;
      continue;
    }
    if (from !== undefined && asked > 0) starts?.missed();
    return claimed;
  }
}

export function toSeatLease(row: SeatRow, leaseMs: number): SeatLease {
  return { ...toLease(row, leaseMs), instanceId: row.instance_id, sessionId: row.session_id };
}

export function toLease(row: LeaseRow, leaseMs: number): Lease {
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

function toEnded(row: { job_id: string; job_type: string; attempt_count: number }, to: Status): Reclaimed {
  const { job_id: jobId, job_type: type, attempt_count: attempt } = row;
  return { jobId, type, attempt, to, durationMs: null, workerId: null, token: null, instanceId: null };
}

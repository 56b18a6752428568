/**
 * Whom the jobs of a claim go to: one worker, seats on streams, or calls that came at the same time. The many are given
 * as a few distinct takers and, for each job that may be taken, the number of one of them.
 */
import { type CallRow, claimBy, type LeaseRow, type Round, type SeatRow, type Takers } from "./claim-statement.ts";
import type { Sql } from "./db.ts";
import type { Claimer, Seat } from "./rows.ts";

/** All for one worker. Exported, as is the next, so that its plan can be tested. */
export function claimStatement(
  sql: Sql,
  options: Round & { workerId: string; limit: number; requestId: string | null },
) {
  return claimBy<LeaseRow>(sql, options, {
    limit: sql`${options.limit}`,
    before: sql``,
    after: sql``,
    workerId: sql`${options.workerId}`,
    instanceId: sql`NULL`,
    sessionId: sql`NULL`,
    requestId: sql`${options.requestId}`,
    deadSeats: sql`0`,
  });
}

/** The nth job for the nth seat whose session is the current one in the statement's own snapshot. */
export function seatsStatement(sql: Sql, options: Round & { seats: Seat[] }) {
  const { seats } = options;
  return claimBy<SeatRow>(sql, options, {
    ...shared(sql, ["worker_id", "instance_id", "session_id"]),
    limit: sql`(SELECT count(*) FROM seat)`,
    before: sql`${seatsOf(sql, seats)},`,
    requestId: sql`NULL`,
    deadSeats: sql`(${seats.length}::int - (SELECT count(*) FROM seat)::int)`,
  });
}

/** Calls that share a list of types: each of them one job in turn, as long as it takes more. */
export function callsStatement(sql: Sql, options: Round & { calls: Claimer[] }) {
  const { calls } = options;
  const own = inTurns(calls.map(({ limit }) => limit));
  return claimBy<CallRow>(sql, options, {
    ...shared(sql, ["worker_id", null, "nr"]),
    limit: sql`${own.length}`,
    before: sql`
      taker AS MATERIALIZED (
        SELECT * FROM unnest(${calls.map((c) => c.workerId)}::text[], ${calls.map((c) => c.requestId)}::text[])
          WITH ORDINALITY AS i (worker_id, request_id, nr)
      ), seat AS MATERIALIZED (
        SELECT taker, ord FROM unnest(${own.map(String)}::text[]::int[]) WITH ORDINALITY AS i (taker, ord)
      ),`,
    requestId: sql`(SELECT array_agg(request_id ORDER BY nr) FROM taker)[session_id::int]`,
    deadSeats: sql`0`,
  });
}

/**
 * What is the same for all claims of many: `seated`, and who gets the job `j`. The ids in `seated` are sorted, so a
 * look-up is a binary search, and what it gives is a small number: a map from job to seat as jsonb cost 13 µs a job more,
 * and a join is not to be had (see `moved`).
 */
function shared(sql: Sql, [worker, instance, session]: [string, string | null, string]) {
  const of = "(SELECT takers FROM seated)[width_bucket(j.id, (SELECT ids FROM seated))]";
  const its = (column: string) => sql.unsafe(`(SELECT array_agg(${column} ORDER BY nr) FROM taker)[${of}]`);
  return {
    after: sql`
      seated AS MATERIALIZED (
        SELECT array_agg(id ORDER BY id) AS ids, array_agg(taker ORDER BY id) AS takers FROM unnest(
          ARRAY(SELECT id FROM taken WHERE ends_as IS NULL ORDER BY nth), ARRAY(SELECT taker FROM seat ORDER BY ord)
        ) AS pair (id, taker) WHERE id IS NOT NULL
      ),`,
    workerId: its(worker),
    instanceId: instance === null ? sql`NULL` : its(instance),
    sessionId: its(session),
  } satisfies Partial<Takers>;
}

/**
 * `taker`: the distinct sessions of these seats, by `nr`; `seat`: those whose session is the current one, with its `nr`
 * as `taker` and their own place as `ord`. Each session is looked up once, however many seats it has.
 */
export function seatsOf(sql: Sql, seats: Seat[]) {
  const numbers = new Map<string, number>();
  const sessions: Seat[] = [];
  const own = seats.map((seat) => {
    const known = numbers.get(seat.sessionId);
    if (known !== undefined) return known;
    numbers.set(seat.sessionId, sessions.push(seat));
    return sessions.length;
  });
  return sql`
    taker AS MATERIALIZED (
      -- A count, since Postgres may look for an EXISTS in a hash of the whole table.
      SELECT i.*, (SELECT count(*) > 0 FROM ai_session s
        WHERE s.instance_id = i.instance_id AND s.session_id = i.session_id AND s.ended_at IS NULL) AS is_current
      FROM unnest(${sessions.map((s) => s.instanceId)}::text[], ${sessions.map((s) => s.sessionId)}::text[],
        ${sessions.map((s) => s.workerId)}::text[]) WITH ORDINALITY AS i (instance_id, session_id, worker_id, nr)
    ), seat AS MATERIALIZED (
      SELECT taker, ord FROM unnest(${own.map(String)}::text[]::int[]) WITH ORDINALITY AS i (taker, ord)
      WHERE (SELECT array_agg(is_current ORDER BY nr) FROM taker)[taker]
    )`;
}

/** 2, 1, 3 become 1 2 3 1 3 3: nobody gets a second job before all who take one have their first. */
function inTurns(limits: number[]): number[] {
  const most = Math.max(...limits);
  return Array.from({ length: most }, (_, turn) => limits.flatMap((limit, at) => (limit > turn ? at + 1 : []))).flat();
}

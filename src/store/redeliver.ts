/** Move: an operator has events delivered once more: dead ones, those of one job, or all since a time. */
import type { Sql } from "./db.ts";
import { comparePlaces, type EventPlace } from "./events.ts";

/** Rows that one statement touches. */
const BATCH = 1_000;

/** Its dead deliveries begin anew. Answers how many. */
export async function redeliverDead(sql: Sql, webhookId: string): Promise<number> {
  let all = 0;
  for (let count = BATCH; count === BATCH; all += count) {
    ({ count } = await sql`
      UPDATE ai_delivery SET ${anew(sql)} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ai_delivery WHERE webhook_id = ${webhookId} AND dead_at IS NOT NULL
        LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))`);
  }
  return all;
}

function anew(sql: Sql) {
  return sql`dead_at = NULL, tries = 0, next_at = now(), wanted_at = now(), claimed_by = NULL, claimed_until = NULL`;
}

/** The kept events of one job that the webhook asks for, or that one of them. Answers how many. */
export async function redeliverJob(sql: Sql, webhookId: string, jobId: string, seq: number | null): Promise<number> {
  const revived = await sql`
    UPDATE ai_delivery SET ${anew(sql)} WHERE webhook_id = ${webhookId} AND job_id = ${jobId} AND dead_at IS NOT NULL
      AND (${seq}::bigint IS NULL OR seq = ${seq}::bigint)`;
  const made = await insert(
    sql,
    webhookId,
    sql`SELECT * FROM ai_event WHERE job_id = ${jobId} AND (${seq}::bigint IS NULL OR seq = ${seq}::bigint)
      ORDER BY seq, id LIMIT ${BATCH}`,
  );
  return revived.count + made.made;
}

/** All kept events since then that the webhook asks for, the oldest first. Answers how many. */
export async function redeliverSince(sql: Sql, webhookId: string, since: Date): Promise<number> {
  let from = await placeOf(sql, since);
  let all = 0;
  for (;;) {
    const { made, last } = await insert(
      sql,
      webhookId,
      sql`SELECT * FROM ai_event WHERE (xid, id) > (${from.xid}::xid8, ${from.id}::bigint) ORDER BY xid, id
        LIMIT ${BATCH}`,
      since,
    );
    all += made;
    if (last === null || comparePlaces(last, from) <= 0) return all;
    from = last;
  }
}

/**
 * Makes deliveries of events that the webhook's place has passed: those behind it come by themselves. One that still
 * waits stays as it is; a dead one begins anew.
 */
async function insert(
  sql: Sql,
  webhookId: string,
  events: ReturnType<Sql>,
  since: Date = new Date(0),
): Promise<{ made: number; last: EventPlace | null }> {
  const [row] = await sql<{ made: number; xid: string | null; id: string }[]>`
    WITH hook AS MATERIALIZED (
      SELECT * FROM ai_webhook WHERE id = ${webhookId} AND disabled_at IS NULL FOR NO KEY UPDATE
    ), page AS MATERIALIZED (${events}), made AS (
      INSERT INTO ai_delivery (webhook_id, job_id, seq, event_id, at, kind, job_type, attempt, tenant_id, source_domain,
        source_id, worker_id, error)
      SELECT h.id, e.job_id, e.seq, e.id, e.at, e.kind, e.job_type, e.attempt, e.tenant_id, e.source_domain,
        e.source_id, e.worker_id, e.error
      FROM hook h CROSS JOIN page e
      WHERE (e.xid, e.id) <= (h.xid, h.event_id) AND e.at >= ${since}
        AND (h.kinds = '{}' OR e.kind = ANY (h.kinds)) AND (h.types = '{}' OR e.job_type = ANY (h.types))
      ON CONFLICT (webhook_id, job_id, event_id) DO UPDATE SET ${anew(sql)} WHERE ai_delivery.dead_at IS NOT NULL
      RETURNING 1
    )
    SELECT (SELECT count(*)::int FROM made) AS made, p.xid::text AS xid, p.id::text AS id
    FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT xid, id FROM page ORDER BY xid DESC, id DESC LIMIT 1) p ON true`;
  const last = row === undefined || row.xid === null ? null : { xid: row.xid, id: row.id };
  return { made: row?.made ?? 0, last };
}

/** An event's time is its transaction's start, which may lie before the transaction's number. */
const SLACK_MS = 60_000;

/**
 * A place before every event of that time. There is no index by time, and none is needed: transactions are numbered as
 * they come, so halving the range of numbers finds it with some forty look-ups.
 */
async function placeOf(sql: Sql, time: Date): Promise<EventPlace> {
  const wanted = time.getTime() - SLACK_MS;
  const [ends] = await sql<{ first: string | null; last: string }[]>`
    SELECT (SELECT xid::text FROM ai_event ORDER BY xid, id LIMIT 1) AS first,
      (SELECT xid::text FROM ai_event ORDER BY xid DESC, id DESC LIMIT 1) AS last`;
  let low = BigInt(ends?.first ?? 0) - 1n;
  let high = BigInt(ends?.last ?? 0);
  // Everything up to low is older than wanted.
  while (high - low > 1n) {
    const middle = low + (high - low) / 2n;
    const [event] = await sql<{ at: Date }[]>`
      SELECT at FROM ai_event WHERE (xid, id) > (${String(middle)}::xid8, 0::bigint) ORDER BY xid, id LIMIT 1`;
    if (event !== undefined && event.at.getTime() < wanted) low = middle;
    else high = middle;
  }
  return { xid: String(low < 0n ? 0n : low), id: "0" };
}

/**
 * Read: what happened, in an order that can be gone on from. Ids of events are given out before their transactions
 * commit, so a reader that asked for `id > last` would pass over what commits late. Here the order is (xid, id), and
 * only what is below the oldest running transaction is told: nothing can come before it any more (postgres.md 10).
 */
import type { Sql } from "./db.ts";
import { DURABLE } from "./durable.ts";
import { type EventFacts, type EventFactsRow, toEventFacts } from "./event-facts.ts";
import { type Snapshot, snapshotOf } from "./snapshot.ts";

/** A place in that order: everything up to it has been told. Numbers as Postgres writes them, for they have 64 bits. */
export interface EventPlace {
  xid: string;
  id: string;
}

export interface JobEvent extends EventFacts {
  place: EventPlace;
}

/** Which events are asked for; each absent part lets all through. */
export interface EventFilter {
  jobIds?: string[];
  types?: string[];
  tenantId?: string;
  sourceDomain?: string;
  sourceId?: string;
}

export interface EventPage {
  events: JobEvent[];
  /**
   * Everything up to here has been told, or does not fit the filter. The place of an event, which a crash cannot take
   * back; how far could be read is no place to go on from, for a crash may give the last numbers out once more.
   */
  upTo: EventPlace;
  /** How far could be read: below the transaction of this number. */
  boundXid: string;
  /** How far was told: no event of a transaction below this number comes later. Less than the bound where a page ends before it. */
  toldXid: string;
  /** The page is full: there may be more at once. */
  more: boolean;
}

/**
 * How far may be read. quick: below the oldest transaction that runs on the server. database: below the oldest one that
 * runs in this database, since no other writes events; dearer to find out, for when the first is held up. A place that
 * was found so before is as good.
 */
export type Bound = "quick" | "database" | EventPlace;

/**
 * Up to `limit` events behind the place; those of one job in the order of seq. That is not always the order of places: a
 * transaction may have its number before it waits for the job, so what it does comes after what a later number did. A
 * page is cut before an event that would have an earlier one of its job behind it.
 */
export async function eventsAfter(
  sql: Sql,
  after: EventPlace,
  limit: number,
  filter: EventFilter = {},
  bound: Bound = "quick",
): Promise<EventPage> {
  const rows = await sql<EventRow[]>`
    WITH bound AS MATERIALIZED (${boundOf(sql, bound)}), page AS MATERIALIZED (
      SELECT e.* FROM bound b CROSS JOIN LATERAL (
        SELECT * FROM ai_event
        WHERE (xid, id) > (${after.xid}::xid8, ${after.id}::bigint) AND (xid, id) <= (b.xid, b.id)
          AND ${matching(sql, filter)}
        ORDER BY xid, id LIMIT ${limit}) e
    ), stop AS MATERIALIZED (
      SELECT xid, id FROM (SELECT *, row_number() OVER (ORDER BY xid, id) AS nth FROM page) p WHERE nth = ${limit}
      UNION ALL SELECT xid, id FROM bound WHERE (SELECT count(*) FROM page) < ${limit}
    ), late AS MATERIALIZED (
      -- Once for each job, for a job may have thousands of events.
      SELECT j.job_id, min(s.seq) AS seq
      FROM (SELECT job_id, max(seq) AS newest FROM page GROUP BY job_id) j CROSS JOIN LATERAL (
        SELECT xid, id, seq FROM ai_event WHERE job_id = j.job_id AND seq < j.newest OFFSET 0) s
      WHERE ${typeof bound === "object" ? sql`(SELECT count(*) FROM page) = ${limit} AND` : sql``}
        (s.xid, s.id) > (SELECT xid, id FROM stop)
      GROUP BY j.job_id
    )
    SELECT b.xid::text AS bound_xid, e.xid::text AS xid, e.id::text AS id, e.at, e.job_id,
      e.seq::float8 AS seq, e.kind, e.job_type, e.attempt, e.tenant_id, e.source_domain, e.source_id, e.worker_id, e.error,
      coalesce(e.seq > (SELECT seq FROM late WHERE job_id = e.job_id), false) AS early
    FROM bound b LEFT JOIN page e ON true ORDER BY e.xid, e.id`;
  const boundXid = String(rows[0]?.bound_xid);
  const found = rows.filter(isEvent);
  const cut = found.findIndex(({ early }) => early);
  const events = inJobOrder((cut < 0 ? found : found.slice(0, cut)).map(toEvent));
  const full = found.length === limit;
  // A page that ends in the middle of such a knot is read again with more in it.
  if (full && cut === 0) return await eventsAfter(sql, after, limit * 2, filter, bound);
  const more = full && events.length > 0;
  const last = found[(cut < 0 ? found.length : cut) - 1];
  const toldXid = full || cut >= 0 ? (last?.xid ?? after.xid) : boundXid;
  // A filter must not hold back the place of who was told how far to read; and it never goes backwards, whatever another
  // server says.
  const isAtEnd = typeof bound === "object" && !full && cut < 0;
  const reached = isAtEnd ? bound : last && { xid: last.xid, id: last.id };
  return { events, upTo: laterOf(after, reached ?? after), boundXid, toldXid, more };
}

/** Those of one job change places with each other, so that seq grows. */
function inJobOrder(events: JobEvent[]): JobEvent[] {
  const byJob = Map.groupBy(events, ({ jobId }) => jobId);
  for (const own of byJob.values()) own.sort((a, b) => b.seq - a.seq);
  return events.map(({ jobId }) => byJob.get(jobId)?.pop() as JobEvent);
}

/** SELECTs the place up to which may be read, as xid and id. */
export function boundOf(sql: Sql, bound: Bound) {
  if (typeof bound === "object") return sql`SELECT ${bound.xid}::xid8 AS xid, ${bound.id}::bigint AS id`;
  if (bound === "quick") return sql`SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid, 0::bigint AS id`;
  // A transaction whose owner is not found (it has just ended, or is prepared) counts as one of ours.
  return sql`
    SELECT coalesce((
      SELECT min(r.xid::text::numeric)::text::xid8 FROM pg_snapshot_xip(s.now) AS r (xid) WHERE NOT EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock'
          AND l.transactionid = r.xid::xid AND a.datid <> (SELECT oid FROM pg_database WHERE datname = current_database())
      )), pg_snapshot_xmax(s.now)) AS xid, 0::bigint AS id
    FROM (SELECT pg_current_snapshot() AS now OFFSET 0) s`;
}

interface EventRow extends EventFactsRow {
  early: boolean;
  bound_xid: string;
  xid: string | null;
  id: string;
}

function isEvent(row: EventRow): row is EventRow & { xid: string } {
  return row.xid !== null;
}

function toEvent(row: EventRow & { xid: string }): JobEvent {
  return { place: { xid: row.xid, id: row.id }, ...toEventFacts(row) };
}

function matching(sql: Sql, filter: EventFilter) {
  const { jobIds, types, tenantId, sourceDomain, sourceId } = filter;
  return sql`true
    ${jobIds === undefined ? sql`` : sql`AND job_id = ANY(${jobIds}::text[])`}
    ${types === undefined ? sql`` : sql`AND job_type = ANY(${types}::text[])`}
    ${tenantId === undefined ? sql`` : sql`AND tenant_id = ${tenantId}`}
    ${sourceDomain === undefined ? sql`` : sql`AND source_domain = ${sourceDomain}`}
    ${sourceId === undefined ? sql`` : sql`AND source_id = ${sourceId}`}`;
}

/** Whether the event would be among those that the filter lets through. */
export function matches(filter: EventFilter, event: JobEvent): boolean {
  return (
    (filter.jobIds?.includes(event.jobId) ?? true) &&
    (filter.types?.includes(event.type) ?? true) &&
    (filter.tenantId === undefined || filter.tenantId === event.tenantId) &&
    (filter.sourceDomain === undefined || filter.sourceDomain === event.sourceDomain) &&
    (filter.sourceId === undefined || filter.sourceId === event.sourceId)
  );
}

/** Less than 0 when `a` comes first. */
export function comparePlaces(a: EventPlace, b: EventPlace): number {
  const by = (x: string, y: string) => (BigInt(x) < BigInt(y) ? -1 : BigInt(x) > BigInt(y) ? 1 : 0);
  return by(a.xid, b.xid) || by(a.id, b.id);
}

export function laterOf(a: EventPlace, b: EventPlace): EventPlace {
  return comparePlaces(a, b) < 0 ? b : a;
}

/** Where somebody begins who wants to hear of everything that is not there yet. */
export interface EventsNow {
  /** What commits from now on comes behind it, and so may some of what was there before, which the snapshot shows. */
  place: EventPlace;
  snapshot: Snapshot;
}

/**
 * A place that divides no job's events: none behind it comes before one that does not lie behind it. Made durable: else a
 * crash may take back the end of a transaction that left nothing to wait for (it was rolled back, say), and with it the
 * number: the next one gets it, and its events would be taken for what the snapshot shows.
 */
export async function eventsNow(sql: Sql): Promise<EventsNow> {
  const [row] = await sql`
    WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS s, pg_snapshot_xmin(pg_current_snapshot()) AS xmin),
    early AS (
      SELECT e.xid, e.id FROM now n CROSS JOIN LATERAL (SELECT * FROM ai_event WHERE (xid, id) >= (n.xmin, 0::bigint)) l
      CROSS JOIN LATERAL (SELECT * FROM ai_event WHERE job_id = l.job_id AND seq > l.seq OFFSET 0) e WHERE e.xid < n.xmin
      ORDER BY e.xid, e.id LIMIT 1
    )
    SELECT n.s::text AS snapshot, coalesce(e.xid, n.xmin)::text AS xid, coalesce(e.id - 1, 0)::text AS id,
      ${sql.unsafe(DURABLE)}
    FROM now n LEFT JOIN early e ON true`;
  return {
    place: { xid: String(row?.["xid"]), id: String(row?.["id"]) },
    snapshot: snapshotOf(String(row?.["snapshot"])) as Snapshot,
  };
}

/** Events up to here are removed: a place before it has lost some. Null: none ever was. */
export async function eventHorizon(sql: Sql): Promise<EventPlace | null> {
  const [row] = await sql`SELECT xid::text AS xid, id::text AS id FROM ai_event_horizon`;
  return row === undefined ? null : { xid: String(row["xid"]), id: String(row["id"]) };
}

/** Removes up to `limit` events older than so many days, the oldest first, and answers how many. */
export async function forgetEvents(sql: Sql, days: number, limit: number): Promise<number> {
  const rows = await sql`
    WITH old AS MATERIALIZED (
      SELECT xid, id, at < now() - ${days}::float8 * interval '1 day' AND NOT EXISTS (
        -- A webhook has not come to it: no broker has run for long.
        SELECT FROM ai_webhook w WHERE w.url IS NOT NULL AND w.disabled_at IS NULL AND (w.xid, w.event_id) < (e.xid, e.id)
          AND e.xid < pg_snapshot_xmax(pg_current_snapshot())
      ) AS past
      FROM ai_event e ORDER BY xid, id LIMIT ${limit}
    ), gone AS (
      -- Not one behind another that stays: the horizon is one place.
      DELETE FROM ai_event e USING (
        SELECT xid, id FROM (SELECT *, bool_and(past) OVER (ORDER BY xid, id) AS all_past FROM old) o WHERE all_past
      ) o WHERE e.xid = o.xid AND e.id = o.id RETURNING e.xid, e.id
    ), horizon AS (
      INSERT INTO ai_event_horizon (xid, id) SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1
      ON CONFLICT (one) DO UPDATE SET xid = excluded.xid, id = excluded.id
      WHERE (ai_event_horizon.xid, ai_event_horizon.id) < (excluded.xid, excluded.id)
    )
    SELECT count(*)::int AS count FROM gone`;
  return Number(rows[0]?.["count"] ?? 0);
}

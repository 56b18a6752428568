/**
 * Move: what has happened becomes deliveries. In one statement the webhook's row is locked, the events behind its place
 * are read, those it asks for become rows of ai_delivery, and the place moves on: each event once, whichever broker does
 * it and whenever one dies. Read as in events.ts, below the oldest running transaction, so that none is passed over.
 */
import type { Sql } from "./db.ts";
import { type Bound, boundOf } from "./events.ts";

/** Webhooks in one statement, those that are the furthest behind, and events for each. */
const HOOKS = 20;
const PAGE = 500;

export interface FannedOut {
  /** Webhooks that are told of events. */
  told: number;
  /** Deliveries made. */
  made: number;
  /** There may be more at once. */
  more: boolean;
}

/** `handlers`: ids of rows whose handlers this broker runs; nobody's events wait in rows for a handler that is gone. */
export async function fanOut(
  sql: Sql,
  handlers: string[] = [],
  page: number = PAGE,
  bound: Bound = "quick",
): Promise<FannedOut> {
  const isTold = sql`w.disabled_at IS NULL AND (w.url IS NOT NULL OR w.id = ANY (${handlers}::text[]))`;
  const [row] = await sql<{ told: number; hooks: number; longest: number; made: number }[]>`
    WITH bound AS MATERIALIZED (SELECT xid AS safe FROM (${boundOf(sql, bound)}) b),
    hook AS MATERIALIZED (
      SELECT w.id, w.types, w.kinds, w.born, w.xid, w.event_id FROM ai_webhook w
      WHERE ${isTold} AND EXISTS (
        SELECT FROM ai_event e WHERE (e.xid, e.id) > (w.xid, w.event_id) AND e.xid < (SELECT safe FROM bound) OFFSET 0)
      ORDER BY w.xid, w.event_id LIMIT ${HOOKS}
      FOR NO KEY UPDATE SKIP LOCKED
    ), page AS MATERIALIZED (
      SELECT h.id AS webhook_id, h.types, h.kinds, h.born, e.* FROM hook h CROSS JOIN LATERAL (
        SELECT * FROM ai_event WHERE (xid, id) > (h.xid, h.event_id) AND xid < (SELECT safe FROM bound)
        ORDER BY xid, id LIMIT ${page}) e
    ), made AS (
      INSERT INTO ai_delivery (webhook_id, job_id, seq, event_id, at, kind, job_type, attempt, tenant_id, source_domain,
        source_id, worker_id, error, next_at)
      SELECT webhook_id, job_id, seq, id, at, kind, job_type, attempt, tenant_id, source_domain, source_id, worker_id,
        error, coalesce((
          -- Behind one that waits: not due before it (deliveries.ts).
          SELECT max(d.next_at) FROM ai_delivery d WHERE d.webhook_id = page.webhook_id AND d.job_id = page.job_id
            AND d.dead_at IS NULL AND d.next_at > now()), now())
      FROM page WHERE (kinds = '{}' OR kind = ANY (kinds)) AND (types = '{}' OR job_type = ANY (types))
        AND NOT pg_visible_in_snapshot(xid, born)
      ON CONFLICT DO NOTHING RETURNING 1
    ), moved AS (
      UPDATE ai_webhook w SET xid = p.xid, event_id = p.id FROM (
        SELECT DISTINCT ON (webhook_id) webhook_id, xid, id FROM page ORDER BY webhook_id, xid DESC, id DESC) p
      WHERE w.id = p.webhook_id
    )
    SELECT (SELECT count(*)::int FROM ai_webhook w WHERE ${isTold}) AS told,
      (SELECT count(*)::int FROM hook) AS hooks, (SELECT count(*)::int FROM made) AS made,
      coalesce((SELECT max(n)::int FROM (SELECT count(*) AS n FROM page GROUP BY webhook_id) c), 0) AS longest`;
  if (row === undefined) return { told: 0, made: 0, more: false };
  return { told: row.told, made: row.made, more: row.hooks === HOOKS || row.longest === page };
}

/**
 * Webhooks whose place this server has not come to: the database was restored from a dump of another one, whose
 * transactions had other numbers. They begin with what has happened here, or they would be told nothing for years.
 */
export async function resetForeignPlaces(sql: Sql): Promise<number> {
  const { count } = await sql`
    UPDATE ai_webhook SET xid = '0', event_id = 0, born = '3:3:'
    WHERE xid > pg_snapshot_xmax(pg_current_snapshot())`;
  return count;
}

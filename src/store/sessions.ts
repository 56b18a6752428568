/**
 * Who is connected by a Work stream: a row for each instance, whose session_id is the one stream that counts. A session
 * is live until it is ended, as long as its broker is seen.
 */
import type { Sql } from "./db.ts";
import { LIVE_SESSION } from "./lookups.ts";

/** Names one stream. */
export interface SessionRef {
  instanceId: string;
  sessionId: string;
}

/** A stream that begins. */
export interface Opening extends SessionRef {
  workerId: string;
  /** Empty: any type. */
  types: string[];
  maxInFlight: number;
  client: string;
}

export interface Opened {
  instanceId: string;
  /** Counts the sessions of this instance; each is greater than the one before. */
  epoch: number;
  /** About how often a live session of this instance was replaced in the last 5 minutes, this time included. */
  supersedes: number;
  /** The broker of the live session that this one replaces; null: none was live. */
  other: string | null;
}

export interface Resizing extends SessionRef {
  maxInFlight: number;
}

/**
 * Makes each stream the current one of its instance, whatever stood there, and answers in their order. The instances
 * of one call must differ. From the moment that it is answered no claim gives the older session a job.
 */
export async function openSessions(sql: Sql, brokerId: string, hellos: Opening[]): Promise<Opened[]> {
  const opened = new Map<string, Opened>();
  // A row that another broker inserts meanwhile is not seen by the statement, only met: the next one sees it.
  for (let left = hellos; left.length > 0; left = left.filter(({ instanceId }) => !opened.has(instanceId))) {
    const rows = await openStatement(sql, brokerId, left);
    const stored = new Set(rows.filter((row) => row.epoch === null).map((row) => row.instance_id));
    for (const { instance_id: instanceId, epoch, supersedes, other } of rows) {
      if (epoch !== null && stored.has(instanceId)) opened.set(instanceId, { instanceId, epoch, supersedes, other });
    }
  }
  return hellos.map(({ instanceId }) => opened.get(instanceId) as Opened);
}

interface OpenRow {
  instance_id: string;
  /** Null in the rows that say of which instances the session is stored. */
  epoch: number | null;
  supersedes: number;
  other: string | null;
}

function openStatement(sql: Sql, brokerId: string, hellos: Opening[]) {
  return sql<OpenRow[]>`
    WITH input AS MATERIALIZED (
      SELECT i.instance_id, i.session_id, i.worker_id, ARRAY(SELECT jsonb_array_elements_text(i.types::jsonb)) AS types,
        i.max_in_flight::int AS max_in_flight, i.client
      FROM unnest(${hellos.map((h) => h.instanceId)}::text[], ${hellos.map((h) => h.sessionId)}::text[],
        ${hellos.map((h) => h.workerId)}::text[], ${hellos.map((h) => JSON.stringify(h.types))}::text[],
        ${hellos.map((h) => String(h.maxInFlight))}::text[], ${hellos.map((h) => h.client)}::text[]
      ) AS i (instance_id, session_id, worker_id, types, max_in_flight, client)
    ), met AS MATERIALIZED (
      SELECT i.*, coalesce(s.epoch, 0) + 1 AS epoch, s.broker_id AS old_broker, s.superseded_at AS old_superseded_at,
        coalesce(s.supersedes, 0) AS old_supersedes,
        -- They fade evenly, so that one every 4 minutes stays below 3 for ever and one each second does not.
        coalesce(ceil(s.supersedes * least(1, greatest(0, 1 - extract(epoch FROM now() - s.superseded_at) / 300))), 0)::int
          AS lately,
        -- The same one again is a statement that was sent twice.
        coalesce(s.session_id <> i.session_id AND ${sql.unsafe(LIVE_SESSION)}, false) AS live
      -- In the order of the key, so that two brokers with the same instances cannot deadlock.
      FROM (SELECT * FROM input ORDER BY instance_id) i
      LEFT JOIN LATERAL (SELECT * FROM ai_session WHERE instance_id = i.instance_id FOR NO KEY UPDATE) s ON true
    ), stored AS (
      INSERT INTO ai_session AS s (instance_id, session_id, epoch, worker_id, broker_id, types, max_in_flight, client,
        supersedes, superseded_at)
      SELECT instance_id, session_id, epoch, worker_id, ${brokerId}, types, max_in_flight, client,
        CASE WHEN live THEN lately + 1 ELSE old_supersedes END, CASE WHEN live THEN now() ELSE old_superseded_at END
      FROM met ORDER BY instance_id
      ON CONFLICT (instance_id) DO UPDATE SET session_id = excluded.session_id, epoch = excluded.epoch,
        worker_id = excluded.worker_id, broker_id = excluded.broker_id, types = excluded.types,
        max_in_flight = excluded.max_in_flight, client = excluded.client, supersedes = excluded.supersedes,
        superseded_at = excluded.superseded_at, connected_at = excluded.connected_at, ended_at = NULL
      WHERE s.epoch = excluded.epoch - 1
      RETURNING s.instance_id
    )
    SELECT instance_id, epoch::float8 AS epoch, lately + live::int AS supersedes, CASE WHEN live THEN old_broker END AS other
    FROM met
    -- Not joined: without hash and merge joins each row would be compared with each other.
    UNION ALL SELECT instance_id, NULL, NULL, NULL FROM stored`;
}

/** Writes down that streams have ended; of an instance that has a newer one nothing changes. */
export async function endSessions(sql: Sql, refs: SessionRef[]): Promise<void> {
  await sql`
    WITH ${current(sql, refs)}
    UPDATE ai_session SET ended_at = now() WHERE instance_id = ANY (ARRAY(SELECT instance_id FROM current))`;
}

/** Writes down how much streams take from now on, for operators; of an instance that has a newer one nothing changes. */
export async function resizeSessions(sql: Sql, sizes: Resizing[]): Promise<void> {
  const newest = new Map(sizes.map((size) => [size.sessionId, size]));
  await sql`
    WITH ${current(sql, [...newest.values()])}
    UPDATE ai_session SET max_in_flight = ((SELECT jsonb_object_agg(instance_id, size) FROM current) ->> instance_id)::int
    WHERE instance_id = ANY (ARRAY(SELECT instance_id FROM current))`;
}

/** Those of the streams that are current, locked in the order of the key. */
function current(sql: Sql, refs: (SessionRef & { maxInFlight?: number })[]) {
  return sql`
    current AS MATERIALIZED (
      SELECT i.instance_id, i.size FROM (
        SELECT * FROM unnest(${refs.map((r) => r.instanceId)}::text[], ${refs.map((r) => r.sessionId)}::text[],
          ${refs.map((r) => String(r.maxInFlight ?? 0))}::text[]) AS i (instance_id, session_id, size)
        ORDER BY instance_id) i
      CROSS JOIN LATERAL (SELECT * FROM ai_session WHERE instance_id = i.instance_id FOR NO KEY UPDATE) s
      WHERE s.session_id = i.session_id AND s.ended_at IS NULL
    )`;
}

export interface StaleSession {
  sessionId: string;
  /** How often live streams of the instance have pushed one another out lately. */
  supersedes: number;
}

/** Those streams that are no longer current: ended, superseded or forgotten. In the order given. */
export async function staleSessions(sql: Sql, refs: SessionRef[]): Promise<StaleSession[]> {
  const rows = await sql<{ session_id: string; supersedes: number | null }[]>`
    SELECT i.session_id, s.supersedes
    FROM unnest(${refs.map((r) => r.instanceId)}::text[], ${refs.map((r) => r.sessionId)}::text[])
      WITH ORDINALITY AS i (instance_id, session_id, ord)
    LEFT JOIN LATERAL (SELECT * FROM ai_session WHERE instance_id = i.instance_id OFFSET 0) s ON true
    WHERE s.session_id IS DISTINCT FROM i.session_id OR s.ended_at IS NOT NULL ORDER BY i.ord`;
  return rows.map((row) => ({ sessionId: row.session_id, supersedes: row.supersedes ?? 0 }));
}

/** This broker is there. One that has not said so for 15 s has lost its streams, whatever their rows say. */
export async function brokerSeen(sql: Sql, brokerId: string): Promise<void> {
  await sql`
    INSERT INTO ai_broker (broker_id) VALUES (${brokerId})
    ON CONFLICT (broker_id) DO UPDATE SET seen_at = excluded.seen_at`;
}

/** A broker leaves; what it could not end by itself ends with it. */
export async function forgetBroker(sql: Sql, brokerId: string): Promise<void> {
  await sql`
    WITH gone AS (
      DELETE FROM ai_broker WHERE broker_id = ${brokerId}
    ), open AS MATERIALIZED (
      SELECT instance_id FROM ai_session WHERE broker_id = ${brokerId} AND ended_at IS NULL
      ORDER BY instance_id FOR NO KEY UPDATE
    )
    UPDATE ai_session SET ended_at = now() WHERE instance_id = ANY (ARRAY(SELECT instance_id FROM open))`;
}

/** Removes at most 1,000 sessions that have been over for a day, and the brokers that were not seen for a day. */
export async function forgetSessions(sql: Sql): Promise<void> {
  await sql`
    WITH old AS MATERIALIZED (
      SELECT instance_id FROM ai_session s
      WHERE ended_at < now() - interval '1 day' OR (ended_at IS NULL AND connected_at < now() - interval '1 day'
        AND NOT EXISTS (SELECT FROM ai_broker b WHERE b.broker_id = s.broker_id AND seen_at > now() - interval '1 day'))
      LIMIT 1000 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM ai_session WHERE instance_id = ANY (ARRAY(SELECT instance_id FROM old))`;
  await sql`DELETE FROM ai_broker WHERE seen_at < now() - interval '1 day'`;
}

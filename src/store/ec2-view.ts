/** Reads of the intents: what is open, what rests, and who has come. */
import type { OpenIntent } from "../job/ec2-states.ts";
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import { LIVE_WORKERS } from "./ec2-workers.ts";

export interface IntentRow extends OpenIntent {
  /** How often the call was somebody's to make. */
  tries: number;
  /** No answer to the call is known, and its caller's time is over. */
  isLeft: boolean;
}

export interface OpenIntents {
  /** The oldest first. */
  open: IntentRow[];
  /** Of all, also those that have ended; 0: there was none yet. */
  newestId: number;
}

interface OpenNumbers extends Record<string, unknown> {
  newest: number;
  id: number | null;
  instance_id: string;
  launched_ms: number | null;
  started_ago_ms: number | null;
  is_found: boolean;
  is_alerted: boolean;
  tries: number;
  is_left: boolean;
}

export async function openIntents(db: Database): Promise<OpenIntents> {
  const rows = await db.drizzle.execute<OpenNumbers>(sql`
    SELECT n.newest, i.id::float8 AS id, i.instance_id, extract(epoch FROM launched_before)::float8 * 1000 AS launched_ms,
      extract(epoch FROM now() - started_at)::float8 * 1000 AS started_ago_ms, source = 'found' AS is_found,
      alerted_at IS NOT NULL AS is_alerted, tries, started_at IS NULL AND call_until < now() AS is_left
    FROM (SELECT coalesce(max(id), 0)::float8 AS newest FROM ai_ec2_intent) n
    LEFT JOIN ai_ec2_intent i ON i.ended_at IS NULL ORDER BY i.id`);
  return {
    newestId: rows[0]?.newest ?? 0,
    open: rows.flatMap((row) => (row.id === null ? [] : [intentOf(row, row.id)])),
  };
}

function intentOf(row: OpenNumbers, id: number): IntentRow {
  return {
    id,
    instanceId: row.instance_id,
    launchedBefore: row.launched_ms === null ? null : new Date(row.launched_ms),
    startedAgoMs: row.started_ago_ms,
    isFound: row.is_found,
    isAlerted: row.is_alerted,
    tries: row.tries,
    isLeft: row.is_left,
  };
}

export interface NewcomerRow {
  intentId: number;
  workerId: string;
  types: string[];
}

/** Live workers that were not there when an open intent was made, and are no other intent's; at most 1,000. */
export async function newcomers(db: Database): Promise<NewcomerRow[]> {
  const rows = await db.drizzle.execute<{ intent_id: number; worker_id: string; types: string }>(sql`
    WITH live AS MATERIALIZED (
      SELECT worker_id, CASE WHEN bool_or(cardinality(types) = 0) THEN '[]' ELSE json_agg(to_json(types))::text END AS types
      FROM (${sql.raw(LIVE_WORKERS)}) l GROUP BY worker_id)
    SELECT i.id::float8 AS intent_id, w.worker_id, w.types FROM ai_ec2_intent i
    -- Not "<> ALL", which compares each worker with each other.
    CROSS JOIN LATERAL (SELECT worker_id::text FROM live EXCEPT SELECT unnest(i.known_workers)) come
    JOIN live w ON w.worker_id = come.worker_id
    WHERE i.ended_at IS NULL AND i.started_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM ai_ec2_intent o WHERE o.worker_id = w.worker_id AND o.ended_at > i.wanted_at)
    ORDER BY i.id, w.worker_id LIMIT 1000`);
  return rows.map((row) => ({
    intentId: row.intent_id,
    workerId: row.worker_id,
    types: [...new Set((JSON.parse(row.types) as string[][]).flat())],
  }));
}

/** What the intents of an instance have taught. */
export interface InstanceMemory {
  instanceId: string;
  /** Its last start is too recent for another. */
  isResting: boolean;
  /** The types of its last worker; null: none has come yet, or that was a day ago. Empty: any. */
  types: string[] | null;
  /** Its worker lives. */
  isWorking: boolean;
}

export interface Memories {
  /** In the order given. */
  instances: InstanceMemory[];
  /** Live workers that are not known to be one of the instances'. */
  strangers: number;
}

export async function memoriesOf(db: Database, instanceIds: readonly string[]): Promise<Memories> {
  const rows = await db.drizzle.execute<{
    id: string;
    is_resting: boolean;
    types: string | null;
    is_working: boolean;
    strangers: number;
  }>(sql`
    WITH live AS MATERIALIZED (SELECT DISTINCT worker_id FROM (${sql.raw(LIVE_WORKERS)}) l),
    ours AS MATERIALIZED (
      SELECT i.id, i.ord, last.worker_id, last.worker_types,
        EXISTS (SELECT FROM ai_ec2_intent r WHERE r.instance_id = i.id AND r.rest_until > now()) AS is_resting
      FROM jsonb_array_elements_text(${JSON.stringify(instanceIds)}::text::jsonb) WITH ORDINALITY AS i (id, ord)
      LEFT JOIN LATERAL (
        -- After a day it is worth a try whether the worker there has learned something.
        SELECT worker_id, CASE WHEN ended_at > now() - interval '1 day' THEN worker_types END AS worker_types
        FROM ai_ec2_intent e WHERE e.instance_id = i.id AND outcome = 'connected'
        ORDER BY e.id DESC LIMIT 1) last ON true
    )
    SELECT o.id, o.is_resting, to_json(o.worker_types)::text AS types,
      EXISTS (SELECT FROM live w WHERE w.worker_id = o.worker_id OR strpos(w.worker_id, o.id) > 0) AS is_working,
      (SELECT count(*)::float8 FROM live w WHERE NOT EXISTS (
        SELECT FROM ours o WHERE w.worker_id = o.worker_id OR strpos(w.worker_id, o.id) > 0)) AS strangers
    FROM ours o ORDER BY o.ord`);
  return {
    strangers: rows[0]?.strangers ?? 0,
    instances: rows.map((row) => ({
      instanceId: row.id,
      isResting: row.is_resting,
      types: row.types === null ? null : (JSON.parse(row.types) as string[]),
      isWorking: row.is_working,
    })),
  };
}

/** Webhooks as rows: add, list, remove, and what is known of each one's health. Handlers are rows of the same table. */
import { randomBytes } from "node:crypto";
import type { EventKind } from "../job/events.ts";
import type { Database, Sql } from "./db.ts";
import { asc, eq, sql } from "./drizzle.ts";
import { aiWebhook } from "./schema.ts";

export interface NewWebhook {
  url: string;
  secret: string;
  /** Empty: all. */
  types: string[];
  kinds: EventKind[];
}

export interface Webhook {
  id: string;
  url: string;
  types: string[];
  kinds: string[];
  createdAt: Date;
  disabledAt: Date | null;
  disabledReason: string | null;
  /** Failed tries in a row. */
  failures: number;
  /** Nothing is sent before. */
  openUntil: Date | null;
  lastStatus: number | null;
  lastError: string | null;
  lastErrorAt: Date | null;
  lastDeliveredAt: Date | null;
  /** Counted up to COUNTED. */
  pending: number;
  dead: number;
}

/** Where an endpoint is and what signs for it. */
export interface Endpoint {
  id: string;
  url: string;
  secret: string;
}

/** As many as a broker can serve at the same time with one slow endpoint never delaying another. */
export const MAX_WEBHOOKS = 100;

/** Deliveries of a webhook are counted up to here. */
export const COUNTED = 100_000;

/** Rows that one statement removes. */
const BATCH = 5_000;

/** The id of a handler's row. */
export function handlerId(name: string): string {
  return `handler:${name}`;
}

/** Stores a webhook that gets what happens from now on; null where there are MAX_WEBHOOKS already. */
export async function addWebhook(db: Sql, hook: NewWebhook): Promise<{ id: string; createdAt: Date } | null> {
  const id = `wh_${randomBytes(12).toString("base64url")}`;
  const [row] = await db<{ created_at: Date }[]>`
    INSERT INTO ai_webhook (id, url, secret, types, kinds, xid, event_id)
    SELECT ${id}, ${hook.url}, ${hook.secret}, ${hook.types}::text[], ${hook.kinds}::text[],
      pg_snapshot_xmin(pg_current_snapshot()), 0
    WHERE (SELECT count(*) FROM ai_webhook WHERE url IS NOT NULL) < ${MAX_WEBHOOKS} RETURNING created_at`;
  return row === undefined ? null : { id, createdAt: row.created_at };
}

/** The row of a handler: at its first start from now on, later from where it was. */
export async function addHandler(db: Sql, name: string, types: string[], kinds: string[]): Promise<void> {
  await db`
    INSERT INTO ai_webhook (id, types, kinds, xid, event_id)
    VALUES (${handlerId(name)}, ${types}::text[], ${kinds}::text[], pg_snapshot_xmin(pg_current_snapshot()), 0)
    ON CONFLICT (id) DO UPDATE SET types = excluded.types, kinds = excluded.kinds`;
}

/** All webhooks with an endpoint, the oldest first. */
export async function listWebhooks(db: Database): Promise<Webhook[]> {
  const count = (which: string) =>
    sql<number>`(SELECT count(*)::int FROM (SELECT FROM ai_delivery d WHERE d.webhook_id = ai_webhook.id
      AND d.dead_at ${sql.raw(which)} LIMIT ${COUNTED}) c)`;
  const rows = await db.drizzle
    .select({
      id: aiWebhook.id,
      url: sql<string>`${aiWebhook.url}`,
      types: aiWebhook.types,
      kinds: aiWebhook.kinds,
      createdAt: aiWebhook.createdAt,
      disabledAt: aiWebhook.disabledAt,
      disabledReason: aiWebhook.disabledReason,
      failures: aiWebhook.failures,
      openUntil: aiWebhook.openUntil,
      lastStatus: aiWebhook.lastStatus,
      lastError: aiWebhook.lastError,
      lastErrorAt: aiWebhook.lastErrorAt,
      lastDeliveredAt: aiWebhook.lastDeliveredAt,
      pending: count("IS NULL"),
      dead: count("IS NOT NULL"),
    })
    .from(aiWebhook)
    .where(sql`${aiWebhook.url} IS NOT NULL`)
    .orderBy(asc(aiWebhook.createdAt), asc(aiWebhook.id));
  return rows;
}

/** Where the webhook sends to, also of a disabled one; null: there is none of this id. */
export async function findEndpoint(db: Database, id: string): Promise<(Endpoint & { disabled: boolean }) | null> {
  const [row] = await db.drizzle.select().from(aiWebhook).where(eq(aiWebhook.id, id));
  if (row === undefined || row.url === null || row.secret === null) return null;
  return { id, url: row.url, secret: row.secret, disabled: row.disabledAt !== null };
}

/** Sends nothing any more; the rows of its deliveries go by and by (forgetDeliveries). */
export async function disableWebhook(db: Sql, id: string, reason: string): Promise<void> {
  await db`
    UPDATE ai_webhook SET disabled_at = now(), disabled_reason = ${reason.slice(0, 500)}
    WHERE id = ${id} AND url IS NOT NULL AND disabled_at IS NULL`;
}

/** Removes a webhook with all that it was still to be told; false: there was none of this id. */
export async function removeWebhook(db: Sql, id: string): Promise<boolean> {
  // First, so that nothing new comes while the rows go in bounded batches.
  await disableWebhook(db, id, "it is being removed");
  let gone: number;
  do {
    ({ count: gone } = await db`
      DELETE FROM ai_delivery WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ai_delivery WHERE webhook_id = ${id} LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))`);
  } while (gone === BATCH);
  const { count } = await db`DELETE FROM ai_webhook WHERE id = ${id} AND url IS NOT NULL`;
  return count > 0;
}

/** What a try says of an endpoint. */
export interface Health {
  webhookId: string;
  status: number | null;
  error: string;
  /** By how many failures in a row, this one included: how long to leave it alone. */
  pauseMs: (failures: number) => number;
}

/** The endpoint has answered well: whatever was wrong with it is over. Written at most every 5 s while nothing is. */
export async function endpointAnswered(db: Sql, webhookId: string): Promise<void> {
  await db`
    UPDATE ai_webhook SET failures = 0, open_until = NULL, last_delivered_at = now()
    WHERE id = ${webhookId} AND (failures > 0 OR last_delivered_at IS NULL
      OR last_delivered_at < now() - interval '5 seconds')`;
}

/** The endpoint has failed once more; answers how often in a row. */
export async function endpointFailed(db: Sql, { webhookId, status, error, pauseMs }: Health): Promise<number> {
  const [row] = await db<{ failures: number }[]>`
    UPDATE ai_webhook SET failures = failures + 1, last_status = ${status}::int, last_error = ${error.slice(0, 500)},
      last_error_at = now()
    WHERE id = ${webhookId} RETURNING failures`;
  const failures = row?.failures ?? 0;
  const ms = pauseMs(failures);
  if (ms > 0) {
    await db`
      UPDATE ai_webhook SET open_until = now() + ${ms}::float8 * interval '1 millisecond'
      WHERE id = ${webhookId} AND failures > 0`;
  }
  return failures;
}

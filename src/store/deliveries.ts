/**
 * Moves of a delivery: claimed, delivered, failed, given back, forgotten. A claim is a lease in the row, by database
 * time: the deliveries of a broker that died are sent again by another when it runs out, or when the broker is missed and
 * its try must be over (brokers that were cut off from the database seem dead to each other for some seconds). A job's
 * next event is not handed out before the one before it is delivered or dead.
 */
import { MAX_HOURS, MAX_TRIES } from "../job/delivery.ts";
import type { Sql } from "./db.ts";
import { type EventFacts, type EventFactsRow, toEventFacts } from "./event-facts.ts";
import { isLiveBroker } from "./lookups.ts";

/** Which row, and the fence of what is said about it: another claim has another number of tries. */
export interface Claim {
  webhookId: string;
  jobId: string;
  eventId: string;
  brokerId: string;
  tries: number;
}

export interface Delivery extends Claim, EventFacts {
  /** Null, with the secret: a handler. */
  url: string | null;
  secret: string | null;
  /** By the database's clock, as `at`: the broker's own may be wrong, and a signature names a time. */
  claimedAt: Date;
}

export interface ClaimDeliveriesOptions {
  brokerId: string;
  leaseMs: number;
  /** What of a lease goes beyond the longest try. With less left of it than this no try of a dead broker still runs. */
  slackMs: number;
  /** Deliveries of one webhook that this broker may have under way. */
  most: number;
  /** How many it has under way already. */
  busy: ReadonlyMap<string, number>;
  /** An endpoint that has failed so often in a row gets one at a time. */
  circuitFailures: number;
  /** Ids of the rows whose handlers this broker runs. */
  handlers: string[];
}

/** Takes what is due, for each webhook as much as there is room for. */
export async function claimDeliveries(sql: Sql, options: ClaimDeliveriesOptions): Promise<Delivery[]> {
  const { brokerId, leaseMs, slackMs, most, busy, circuitFailures, handlers } = options;
  const rows = await sql<DeliveryRow[]>`
    WITH hook AS MATERIALIZED (
      SELECT w.id, w.url, w.secret, w.xid, w.event_id,
        CASE WHEN w.failures >= ${circuitFailures} THEN least(1, ${most}::int) ELSE ${most}::int END
          - coalesce(b.count::int, 0) AS room
      FROM ai_webhook w LEFT JOIN unnest(${[...busy.keys()]}::text[], ${[...busy.values()].map(String)}::text[])
        AS b (id, count) ON b.id = w.id
      WHERE w.disabled_at IS NULL AND (w.open_until IS NULL OR w.open_until <= now())
        AND (w.url IS NOT NULL OR w.id = ANY (${handlers}::text[]))
    ), due AS MATERIALIZED (
      SELECT d.* FROM hook h CROSS JOIN LATERAL (
        SELECT d.webhook_id, d.job_id, d.event_id FROM ai_delivery d
        WHERE d.webhook_id = h.id AND d.dead_at IS NULL AND d.next_at <= now()
          AND (d.claimed_until IS NULL OR d.claimed_until < now()
            OR (d.claimed_until < now() + ${slackMs}::float8 * interval '1 millisecond'
              AND d.claimed_by <> ${brokerId} AND NOT ${sql.unsafe(isLiveBroker("d.claimed_by"))}))
          AND NOT EXISTS (SELECT FROM ai_delivery p WHERE p.webhook_id = d.webhook_id AND p.job_id = d.job_id
            AND p.event_id < d.event_id AND p.dead_at IS NULL)
          -- One that commits late has an earlier id and stands behind the webhook's place. By the job's own events: from
          -- the place on there may be a million.
          AND NOT EXISTS (SELECT FROM (SELECT xid, id FROM ai_event WHERE job_id = d.job_id OFFSET 0) e
            WHERE e.id < d.event_id AND (e.xid, e.id) > (h.xid, h.event_id)
              -- Not one of another server (resetForeignPlaces).
              AND e.xid < pg_snapshot_xmax(pg_current_snapshot()))
        ORDER BY d.next_at LIMIT greatest(0, h.room)
        FOR UPDATE SKIP LOCKED) d
      WHERE h.room > 0
    ), taken AS (
      UPDATE ai_delivery d SET claimed_by = ${brokerId}, tries = d.tries + 1,
        claimed_until = now() + ${leaseMs}::float8 * interval '1 millisecond'
      FROM due WHERE d.webhook_id = due.webhook_id AND d.job_id = due.job_id AND d.event_id = due.event_id
      RETURNING d.*
    )
    SELECT t.webhook_id, h.url, h.secret, t.job_id, t.seq::float8 AS seq, t.event_id::text AS event_id, t.at, t.kind,
      t.job_type, t.attempt, t.tenant_id, t.source_domain, t.source_id, t.worker_id, t.error, t.tries,
      now() AS claimed_at
    FROM taken t JOIN hook h ON h.id = t.webhook_id ORDER BY t.next_at, t.event_id`;
  return rows.map((row) => toDelivery(row, brokerId));
}

interface DeliveryRow extends EventFactsRow {
  webhook_id: string;
  url: string | null;
  secret: string | null;
  event_id: string;
  claimed_at: Date;
  tries: number;
}

function toDelivery(row: DeliveryRow, brokerId: string): Delivery {
  const { webhook_id: webhookId, event_id: eventId, claimed_at: claimedAt, url, secret, tries } = row;
  return { webhookId, eventId, brokerId, tries, url, secret, claimedAt, ...toEventFacts(row) };
}

// What stands behind a delivery that waits is not due before it, or a claim would have to step over all of that: the head
// takes its followers' times along, and lets them go when it is delivered or dead.

/** It has arrived. False: the lease had run out, and another has it. */
export async function recordDelivered(sql: Sql, claim: Claim): Promise<boolean> {
  const [row] = await sql<{ count: number }[]>`
    WITH head AS (DELETE FROM ai_delivery WHERE ${held(sql, claim)} RETURNING webhook_id, job_id),
    behind AS (UPDATE ai_delivery d SET next_at = now() FROM head WHERE ${follows(sql, claim)} AND d.next_at > now())
    SELECT count(*)::int AS count FROM head`;
  return row?.count === 1;
}

/** It has not: tried again after the delay, or dead after the last try. False: another has it. */
export async function recordFailed(
  sql: Sql,
  claim: Claim,
  failure: { status: number | null; error: string; delayMs: number },
): Promise<{ dead: boolean } | false> {
  const { status, error, delayMs } = failure;
  const [row] = await sql<{ dead: boolean }[]>`
    WITH head AS (
      UPDATE ai_delivery SET claimed_by = NULL, claimed_until = NULL, last_status = ${status}::int,
        last_error = ${error.slice(0, 500)}, next_at = now() + ${delayMs}::float8 * interval '1 millisecond',
        dead_at = CASE WHEN tries >= ${MAX_TRIES} OR wanted_at < now() - ${MAX_HOURS}::float8 * interval '1 hour'
          THEN now() END
      WHERE ${held(sql, claim)} RETURNING webhook_id, job_id, dead_at IS NOT NULL AS dead, next_at
    ), behind AS (
      UPDATE ai_delivery d SET next_at = CASE WHEN head.dead THEN now() ELSE head.next_at END
      FROM head WHERE ${follows(sql, claim)}
    )
    SELECT dead FROM head`;
  return row ?? false;
}

function follows(sql: Sql, { eventId }: Claim) {
  return sql`d.webhook_id = head.webhook_id AND d.job_id = head.job_id AND d.event_id > ${eventId}::bigint
    AND d.dead_at IS NULL`;
}

/** It was not tried to its end: due again at once, as if it had not been claimed. */
export async function giveBack(sql: Sql, claim: Claim): Promise<void> {
  await sql`
    UPDATE ai_delivery SET claimed_by = NULL, claimed_until = NULL, tries = tries - 1 WHERE ${held(sql, claim)}`;
}

function held(sql: Sql, { webhookId, jobId, eventId, brokerId, tries }: Claim) {
  return sql`webhook_id = ${webhookId} AND job_id = ${jobId} AND event_id = ${eventId}::bigint
    AND claimed_by = ${brokerId} AND tries = ${tries}`;
}

/** Dead deliveries stay so long. */
const DEAD_DAYS = 30;

/**
 * What is past its time, up to `limit` rows of each kind: the undelivered are given up, the dead go, and so does all of a
 * webhook that is disabled. True: there is more.
 */
export async function forgetDeliveries(sql: Sql, limit: number): Promise<boolean> {
  const late = await sql`
    UPDATE ai_delivery SET dead_at = now(), claimed_by = NULL, claimed_until = NULL,
      last_error = coalesce(last_error, 'it could not be tried within ' || ${MAX_HOURS}::text || ' hours')
    WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ai_delivery WHERE dead_at IS NULL AND wanted_at < now() - ${MAX_HOURS}::float8 * interval '1 hour'
        AND (claimed_until IS NULL OR claimed_until < now())
      ORDER BY wanted_at LIMIT ${limit} FOR UPDATE SKIP LOCKED))`;
  const dead = await sql`
    DELETE FROM ai_delivery WHERE ctid = ANY (ARRAY(
      SELECT d.place FROM ai_webhook w CROSS JOIN LATERAL (
        SELECT ctid AS place FROM ai_delivery WHERE webhook_id = w.id AND dead_at IS NOT NULL
          AND dead_at < now() - ${DEAD_DAYS}::float8 * interval '1 day' LIMIT ${limit} FOR UPDATE SKIP LOCKED) d
      LIMIT ${limit}))`;
  const disabled = await sql`
    DELETE FROM ai_delivery WHERE ctid = ANY (ARRAY(
      SELECT d.place FROM ai_webhook w CROSS JOIN LATERAL (
        SELECT ctid AS place FROM ai_delivery WHERE webhook_id = w.id LIMIT ${limit} FOR UPDATE SKIP LOCKED) d
      WHERE w.disabled_at IS NOT NULL LIMIT ${limit}))`;
  return [late, dead, disabled].some(({ count }) => count === limit);
}

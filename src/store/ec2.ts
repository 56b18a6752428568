/**
 * Moves of an intent to start a worker's instance: open, take over, started, alerted, ended. An intent is open until
 * its worker has come or it has failed; the unique key on open ones decides who starts, and each move names the state
 * that it comes from, so of two brokers one makes it.
 */
import type { Sql } from "./db.ts";

/** Whose turn it is to call EC2: the fence of the moves that tell how the call went. */
export interface Turn {
  intentId: number;
  brokerId: string;
  tries: number;
}

export interface Opening {
  instanceId: string;
  source: "loop" | "operator" | "found";
  reason: string;
  brokerId: string;
  launchedBefore: Date | null;
  /** Who works already, so is not the worker that is waited for. */
  knownWorkers: string[];
  /** For the loop: the newest intent that its decision knew of, and how many may be on the way at once. */
  basis?: { newestId: number; maxStarts: number };
}

export type Outcome = "connected" | "stopped" | "gone" | "failed" | "denied" | "throttled" | "capacity";

/** How long nobody else makes the call: the caller gives up long before. */
export const TURN_MS = 60_000;

/** Advisory locks are per database; this number is ours alone ("ec2start" in ASCII). */
const KEY = "7305510155571425908";

/**
 * Opens an intent; null: there is an open one for the instance, or the decision was made without knowing the newest
 * intents. One transaction at a time, so that the count is true. A found instance needs no call: it counts as started.
 */
export async function openIntent(sql: Sql, opening: Opening): Promise<Turn | null> {
  const { instanceId, source, reason, brokerId, launchedBefore, knownWorkers, basis } = opening;
  const rows = await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${KEY}::text::bigint)`;
    return await tx<{ id: number }[]>`
      INSERT INTO ai_ec2_intent (instance_id, source, reason, broker_id, call_until, launched_before, known_workers,
        started_at)
      SELECT ${instanceId}, ${source}, ${reason.slice(0, 500)}, ${brokerId},
        now() + ${TURN_MS}::float8 * interval '1 millisecond', ${launchedBefore}::timestamptz, ${knownWorkers}::text[], CASE WHEN ${source} = 'found' THEN now() END
      WHERE ${basis === undefined} OR (
        NOT EXISTS (SELECT FROM ai_ec2_intent WHERE id > ${basis?.newestId ?? 0})
        AND (SELECT count(*) FROM ai_ec2_intent WHERE ended_at IS NULL AND alerted_at IS NULL) < ${basis?.maxStarts ?? 0})
      ON CONFLICT (instance_id) WHERE ended_at IS NULL DO NOTHING
      RETURNING id::float8 AS id`;
  });
  const [row] = rows;
  return row === undefined ? null : { intentId: row.id, brokerId, tries: 1 };
}

/**
 * Takes the call over from a broker that did not say how it went in its time. `tries` is what the caller saw before it
 * looked at the instance: where somebody else has tried since, what it saw may be old. Null: it was not to be had.
 */
export async function takeOver(
  sql: Sql,
  { id: intentId, tries }: { id: number; tries: number },
  brokerId: string,
): Promise<Turn | null> {
  const [row] = await sql<{ tries: number }[]>`
    UPDATE ai_ec2_intent SET broker_id = ${brokerId}, tries = tries + 1,
      call_until = now() + ${TURN_MS}::float8 * interval '1 millisecond'
    WHERE id = ${intentId} AND ended_at IS NULL AND started_at IS NULL AND call_until < now()
      AND tries = ${tries} RETURNING tries`;
  return row === undefined ? null : { intentId, brokerId, tries: row.tries };
}

/** The call was made: nobody makes it again for this intent. */
export async function recordStarted(sql: Sql, intentId: number): Promise<void> {
  await sql`
    UPDATE ai_ec2_intent SET started_at = now() WHERE id = ${intentId} AND started_at IS NULL AND ended_at IS NULL`;
}

/** True for the one broker that is to tell people that no worker has come. */
export async function recordAlert(sql: Sql, intentId: number): Promise<boolean> {
  const { count } = await sql`
    UPDATE ai_ec2_intent SET alerted_at = now() WHERE id = ${intentId} AND alerted_at IS NULL AND ended_at IS NULL`;
  return count > 0;
}

/** Ends an open intent; false: somebody else did, or the turn is no longer the caller's. */
export async function endIntent(
  sql: Sql,
  intentId: number,
  how: { outcome: Outcome; restMs: number; turn?: Turn | undefined },
): Promise<boolean> {
  const { count } = await sql`
    UPDATE ai_ec2_intent SET ended_at = now(), outcome = ${how.outcome},
      rest_until = now() + ${how.restMs}::float8 * interval '1 millisecond'
    WHERE id = ${intentId} AND ended_at IS NULL AND (${how.turn === undefined}
      OR (broker_id = ${how.turn?.brokerId ?? ""} AND tries = ${how.turn?.tries ?? 0} AND started_at IS NULL))`;
  return count > 0;
}

/** The worker has come: ends the intent and answers how long the boot took; null: it had ended, or the worker is another's. */
export async function recordArrival(
  sql: Sql,
  arrival: { intentId: number; workerId: string; types: string[] },
  restMs: number,
): Promise<{ bootMs: number } | null> {
  const { intentId, workerId, types } = arrival;
  const [row] = await sql<{ boot_ms: number }[]>`
    UPDATE ai_ec2_intent i SET ended_at = now(), outcome = 'connected', worker_id = ${workerId},
      worker_types = ${types}::text[], rest_until = now() + ${restMs}::float8 * interval '1 millisecond'
    WHERE id = ${intentId} AND ended_at IS NULL AND started_at IS NOT NULL AND NOT EXISTS (
      SELECT FROM ai_ec2_intent o WHERE o.worker_id = ${workerId} AND o.ended_at > i.wanted_at)
    RETURNING extract(epoch FROM now() - started_at)::float8 * 1000 AS boot_ms`;
  return row === undefined ? null : { bootMs: row.boot_ms };
}

/** Removes intents that ended 90 days ago; what was learned of them is known from newer ones. */
export async function forgetIntents(sql: Sql): Promise<void> {
  await sql`DELETE FROM ai_ec2_intent WHERE ended_at < now() - interval '90 days'`;
}

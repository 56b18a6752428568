/** The channels on which brokers of one database tell one another what the tables say already. */
import type { Sql } from "./lines.ts";

/** ai_ready: jobs have become due. ai_session: a stream was superseded. */
export type Channel = "ai_ready" | "ai_session";

/** Sends one message to everybody who listens, this broker included. It is lost to those whose line is down. */
export async function notify(sql: Sql, channel: Channel, payload: string): Promise<void> {
  await sql`SELECT pg_notify(${channel}, ${payload})`;
}

/**
 * Hears every message of a channel on a connection that all channels of the pool share, and which comes back by itself
 * when it is lost; onConnected is called each time, since a message may have been missed. Answers with the way to stop.
 */
export async function listen(
  sql: Sql,
  channel: Channel,
  onMessage: (payload: string) => void,
  onConnected: () => void,
): Promise<() => Promise<void>> {
  const begun = sql.listen(channel, onMessage, onConnected);
  const soFar = beginning.get(sql) ?? [];
  beginning.set(sql, [...soFar, begun.catch(() => undefined)]);
  const { unlisten } = await begun;
  return async () => void (await unlisten());
}

/** By pool: all that was ever begun on it, a handful. */
const beginning = new WeakMap<Sql, Promise<unknown>[]>();

/**
 * Resolves when all that has begun to listen on this pool does, or has failed. A pool that is ended before leaves the
 * connection that was being made for it open (postgres.js 3.4.9), and its process does not end.
 */
export async function listening(sql: Sql): Promise<void> {
  await Promise.all(beginning.get(sql) ?? []);
}

/** The channels on which brokers of one database tell one another what the tables say already. */
import type { Sql } from "./db.ts";

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
  const { unlisten } = await sql.listen(channel, onMessage, onConnected);
  return async () => void (await unlisten());
}

/** The channel on which brokers tell one another that jobs have become due. */
import type { Sql } from "./db.ts";

const CHANNEL = "ai_ready";

export async function notify(sql: Sql, from: string): Promise<void> {
  await sql`SELECT pg_notify(${CHANNEL}, ${from})`;
}

/**
 * Hears every notify on a connection of its own, which comes back by itself when it is lost; onConnected is called each
 * time, since a message may have been missed. Answers with the way to stop.
 */
export async function listen(
  sql: Sql,
  onMessage: (from: string) => void,
  onConnected: () => void,
): Promise<() => Promise<void>> {
  const { unlisten } = await sql.listen(CHANNEL, onMessage, onConnected);
  return async () => void (await unlisten());
}

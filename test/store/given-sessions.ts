/** Short words for the tests of sessions. */
import type { Database } from "../../src/store/db.ts";
import { type Opened, openSessions, type SessionRef, staleSessions } from "../../src/store/sessions.ts";
import { opening } from "../support/jobs.ts";

/** Opens a stream of the instance on a broker. */
export async function open(db: Database, instanceId: string, broker = "b1", sessionId?: string): Promise<Opened> {
  const more = sessionId === undefined ? {} : { sessionId };
  const [opened] = await openSessions(db.sql, broker, [opening(instanceId, more)]);
  return opened as Opened;
}

/** The whole row, as the database names its columns; `names` are its types. */
export async function sessionOf(db: Database, instanceId: string): Promise<Record<string, unknown>> {
  const [row] = await db.sql`SELECT *, array_to_string(types, ',') AS names FROM ai_session
    WHERE instance_id = ${instanceId}`;
  if (row === undefined) throw new Error(`no session of ${instanceId}`);
  return row;
}

/** The session ids of those that are no longer current. */
export async function staleOf(db: Database, refs: SessionRef[]): Promise<string[]> {
  return (await staleSessions(db.sql, refs)).map(({ sessionId }) => sessionId);
}

/** Lets time pass for what is written down. */
export async function age(db: Database, seconds: number): Promise<void> {
  await db.sql`UPDATE ai_session SET superseded_at = superseded_at - ${seconds}::float8 * interval '1 second',
    connected_at = connected_at - ${seconds}::float8 * interval '1 second',
    ended_at = ended_at - ${seconds}::float8 * interval '1 second'`;
  await db.sql`UPDATE ai_broker SET seen_at = seen_at - ${seconds}::float8 * interval '1 second'`;
}

/** Read: what the database says of itself. */

import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";

export interface ServerFacts {
  /** The database's clock. */
  now: Date;
  /** For example 18.4. */
  postgresVersion: string;
}

export async function serverFacts(db: Database): Promise<ServerFacts> {
  const [row] = await db.drizzle.execute<{ now_ms: number; version: string }>(sql`
    SELECT extract(epoch FROM now())::float8 * 1000 AS now_ms, split_part(current_setting('server_version'), ' ', 1) AS version`);
  if (row === undefined) throw new Error("a SELECT without FROM gave no row");
  return { now: new Date(row.now_ms), postgresVersion: row.version };
}

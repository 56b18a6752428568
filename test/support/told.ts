/** Reading ai_event in tests. */
import type { Database } from "../../src/store/db.ts";
import { type EventPlace, eventsAfter, type JobEvent } from "../../src/store/events.ts";
import { until } from "./until.ts";

export const START: EventPlace = { xid: "0", id: "0" };

/** All that has committed, once nothing of this database can come before it. */
export async function told(db: Database, after = START): Promise<JobEvent[]> {
  const [now] = await db.sql`SELECT pg_current_xact_id()::text AS xid`;
  return until("all before are over", async () => {
    const { events, boundXid } = await eventsAfter(db.sql, after, 1_000, {}, "database");
    return BigInt(boundXid) > BigInt(String(now?.["xid"])) ? events : undefined;
  });
}

/** Whether the database answers and takes writes; throws what is wrong. */
import type { Sql } from "./db.ts";

export async function ping(sql: Sql): Promise<void> {
  const [row] = await sql<{ standby: boolean }[]>`SELECT pg_is_in_recovery() AS standby`;
  if (row?.standby)
    throw new Error("the database is a standby that takes no writes; point DATABASE_URL at the primary");
}

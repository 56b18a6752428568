/** One `migrate` at a time in a database. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "./db.ts";

/** Advisory locks are per database; this number is ours alone ("aibroker" in ASCII). */
const KEY = "7019230660318029170";

/**
 * Holds the lock of this database while `run` runs. It asks again and again rather than wait inside
 * pg_advisory_lock: a session that waits there holds a snapshot, and an index built CONCURRENTLY by the other migrate
 * would wait for it for ever. `sql` must be a pool of one connection, since the lock belongs to it.
 */
export async function withMigrateLock<T>(
  sql: Sql,
  options: { waitMs: number; log: (line: string) => void },
  run: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + options.waitMs;
  for (let asked = 0; !(await tryLock(sql)); asked++) {
    if (performance.now() > deadline) {
      throw new Error(
        "another `ai-job-broker migrate` is at work on this database; wait for its end, then run it again",
      );
    }
    if (asked === 0) options.log("another migrate is at work on this database; waiting for its end");
    await sleep(200);
  }
  try {
    return await run();
  } finally {
    await sql`SELECT pg_advisory_unlock(${KEY}::text::bigint)`.catch(() => undefined);
  }
}

async function tryLock(sql: Sql): Promise<boolean> {
  const [row] = await sql`SELECT pg_try_advisory_lock(${KEY}::text::bigint) AS locked`;
  return row?.["locked"] === true;
}

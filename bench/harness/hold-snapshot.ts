/** A transaction that somebody has left open: nothing that dies while it is held can be vacuumed away. */
import { openPool } from "../../src/store/db.ts";

/** Resolves when the snapshot is taken; answers with the way to let go of it, which rejects if it was lost meanwhile. */
export async function holdSnapshot(url: string): Promise<() => Promise<void>> {
  const options = { url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000, applicationName: "bench holder" };
  // A pool's own time-out would end it after 5 s of doing nothing.
  const sql = openPool(options, 1, { idle_in_transaction_session_timeout: "0" });
  const look = async () => (await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`)[0]?.pid;
  await sql`BEGIN ISOLATION LEVEL REPEATABLE READ`;
  // The first query takes the snapshot, BEGIN does not.
  const pid = await look();
  return async () => {
    try {
      if ((await look()) !== pid) throw new Error("the transaction that held the snapshot was ended meanwhile");
    } finally {
      await sql.end();
    }
  };
}

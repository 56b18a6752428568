/** A batch whose connection is lost while Postgres works on it. */
import { expect } from "vitest";
import { NO_RECORDER } from "../../src/dispatch/recorder.ts";
import type { Lease } from "../../src/store/rows.ts";
import { addressIn, Link, urlThrough } from "../faults/proxy.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { givenJob, givenLease } from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";
import { until } from "../support/until.ts";

test("heartbeats of one statement are not sent once more, each by itself, when its answer is lost", async ({
  db,
  url,
}) => {
  const link = await Link.open({ name: "moves>db", to: addressIn(url) });
  const cut = openTestDatabase(urlThrough(link, url));
  const batches: number[] = [];
  try {
    await using broker = startMoves(cut, {
      record: { ...NO_RECORDER, gathered: (_, items) => void batches.push(items) },
    });
    const leases: Lease[] = [];
    for (const id of ["a", "b", "c"]) {
      await givenJob(db, { id });
      leases.push(await givenLease(db));
    }
    const beat = ({ jobId, token }: Lease) =>
      broker.moves
        .heartbeat("w1", [{ jobId, token, progress: null }])
        .catch((err: unknown) => (err as { reason?: string }).reason);
    await db.sql.begin(async (tx) => {
      await tx`SELECT FROM ai_job FOR UPDATE`;
      await tx`SELECT FROM ai_lease FOR UPDATE`;
      // A backend whose client is gone waits on.
      const waitForRows = (backends: number) =>
        until(`${backends} statements wait for the rows`, async () => {
          const waiting = await db.sql`
            SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.datname = current_database()`;
          return waiting.length >= backends;
        });
      const [first, ...others] = leases.map(beat);
      await waitForRows(1);
      link.cut();
      expect(await first).toBe("DATABASE_DOWN");
      await waitForRows(2);
      link.cut();
      expect(await Promise.all(others)).toEqual(["DATABASE_DOWN", "DATABASE_DOWN"]);
    });
    expect(batches).toEqual([1, 2]);
  } finally {
    await cut.close();
    await link.close();
  }
});

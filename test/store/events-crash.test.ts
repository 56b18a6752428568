/**
 * A crash of Postgres gives numbers of transactions out once more: those whose ends were not on the disk, for they left
 * nothing that anybody waits for. Whoever had read up to them is still told of what happens under them afterwards.
 */
import { expect, vi } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { type EventPlace, eventsAfter, eventsNow } from "../../src/store/events.ts";
import { migrate } from "../../src/store/migrate.ts";
import { type Snapshot, sawIn } from "../../src/store/snapshot.ts";
import { watchState } from "../../src/store/watch-state.ts";
import { openTestDatabase } from "../support/db.ts";
import { ask, test } from "../support/embedded.ts";
import { givenJob } from "../support/jobs.ts";
import { START } from "../support/told.ts";

vi.setConfig({ testTimeout: 60_000 });

/** Nothing but a commit that is waited for brings the log to the disk. */
const LAZY = { autovacuum: "off", checkpoint_timeout: "1h", bgwriter_delay: "10s" };

interface Begun {
  place: EventPlace;
  snapshot?: Snapshot;
}

/** Each way to find out where to go on, for who watches one job. */
const WAYS: Record<string, (db: Database, jobId: string) => Promise<Begun>> = {
  "a page's end": async (db) => ({ place: (await eventsAfter(db.sql, START, 100, {}, "database")).upTo }),
  now: (db) => eventsNow(db.sql),
  state: async (db, jobId) => {
    const { from, snapshot } = await watchState(db, { jobIds: [jobId] }, 10);
    return { place: from, snapshot };
  },
};

test("what happens after a crash is told to who has read further than the crash left", async ({ start, connect }) => {
  const { url } = await start({ durable: true, settings: LAZY });
  await migrate(url);
  const db = openTestDatabase(url);
  const operator = connect(url);
  const writerPid = async (but = 0) => {
    const query = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter' AND pid <> ${but}`;
    return Number((await ask(operator, query))["pid"]);
  };
  const kindsBehind = async ({ place, snapshot }: Begun, jobId: string) => {
    const { events } = await eventsAfter(db.sql, place, 100, { jobIds: [jobId] }, "database");
    return events.filter((e) => snapshot === undefined || !sawIn(snapshot, e.place.xid)).map(({ kind }) => kind);
  };
  for (const [way, begin] of Object.entries(WAYS)) {
    const writer = await writerPid();
    process.kill(writer, "SIGSTOP");
    await givenJob(db);
    // Transactions that write nothing, and whose ends nobody waits for.
    for (let n = 0; n < 20; n++) await db.sql.unsafe("BEGIN; SELECT pg_current_xact_id(); ROLLBACK");
    const begun = await begin(db, way);

    // Postgres begins anew: what was not on the disk is gone.
    process.kill(writer, "SIGKILL");
    await writerPid(writer);
    await givenJob(db, { id: way });
    expect(await kindsBehind(begun, way), way).toEqual(["dispatched"]);
  }
  await db.close();
});

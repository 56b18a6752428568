/**
 * A claim, or a dispatch that hands its jobs to seats, may still be under way in the database when the stream that it is
 * for ends: its jobs go back as if never sent.
 */
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import {
  countsOf,
  dispatchAll,
  idsOf,
  names,
  openWorker,
  type Streaming,
  takeJob,
  takeJobs,
  tally,
} from "../support/work-words.ts";

const WORKERS = 25;
const CLAIMS = 4711;

/** With a time of its own a job waits to be claimed; else it is handed to a seat as it is stored. */
const LEASED_BY = { "a claim": { runAt: { seconds: 0n } }, "a dispatch": {} };
type LeasedBy = keyof typeof LEASED_BY;

/** From now on whatever writes leases waits before it does, while whileItWaits() runs. */
async function holdClaims(db: Database): Promise<void> {
  await db.sql`CREATE SCHEMA IF NOT EXISTS watch`;
  await db.sql.unsafe(`
    CREATE OR REPLACE FUNCTION watch.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_advisory_xact_lock_shared(${CLAIMS});
      RETURN NULL;
    END $$;
    DROP TRIGGER IF EXISTS hold_claims ON public.ai_lease;
    CREATE TRIGGER hold_claims BEFORE INSERT ON public.ai_lease FOR EACH STATEMENT EXECUTE FUNCTION watch.hold()`);
}

/** Runs `meanwhile` while what `begin` leads to waits; it goes on when that resolves. */
async function whileItWaits(db: Database, begin: () => Promise<void>, meanwhile: () => Promise<void>): Promise<void> {
  let begun: Promise<void> | undefined;
  await db.sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${CLAIMS})`;
    begun = begin();
    await until("leases are about to be written", async () => {
      const [row] = await db.sql`
        SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = ${CLAIMS}`;
      return (row?.["n"] as number) > 0;
    });
    await meanwhile();
  });
  await begun;
}

test.for(
  (["same", "other"] as const).flatMap((where) =>
    (Object.keys(LEASED_BY) as LeasedBy[]).map((by) => [by, where] as const),
  ),
)(
  "the streams end while %s for them runs, and the workers come back to the %s broker as it commits: no attempt is spent",
  async ([by, where], { db, url }) => {
    await holdClaims(db);
    await using first = await startTestBroker(url, { LOCK_TIMEOUT_MS: "5000" });
    await using other = await startTestBroker(url, { LOCK_TIMEOUT_MS: "5000" });
    await using streams = new AsyncDisposableStack();
    const workers: Streaming[] = [];
    for (const workerId of names("w", WORKERS)) {
      workers.push(streams.use(await openWorker(first, { workerId, maxInFlight: 1 })));
    }
    await whileItWaits(
      db,
      () => dispatchAll(first, names("j", WORKERS), LEASED_BY[by]),
      async () => {
        for (const work of workers) work.cancel();
        await until("all streams are over", () =>
          workers.every(({ welcome: { sessionId } }) =>
            first.lines.some((line) => line.includes(sessionId) && line.includes("ended")),
          ),
        );
      },
    );
    const second = where === "same" ? first : other;
    const again = await Promise.all(
      workers.map(({ instanceId }, at) => openWorker(second, { instanceId, workerId: `w${at + 1}`, maxInFlight: 1 })),
    );
    for (const work of again) streams.use(work);
    const jobs = await Promise.all(again.map((work) => takeJob(work)));
    expect(idsOf(jobs).sort()).toEqual(names("j", WORKERS).sort());
    expect(jobs.filter(({ attempt }) => attempt !== 1)).toEqual([]);
    expect(await tally(db)).toEqual({ states: { RUNNING: WORKERS }, attempts: 1 });
  },
);

test.for(Object.keys(LEASED_BY) as LeasedBy[])(
  "%s that commits after its stream was superseded gives the instance no job beyond its capacity",
  async (by, { db, url }) => {
    await holdClaims(db);
    await using first = await startTestBroker(url, { LOCK_TIMEOUT_MS: "5000" });
    await using second = await startTestBroker(url, { LOCK_TIMEOUT_MS: "5000" });
    await using older = await openWorker(first, { maxInFlight: 2 }, { acks: false });
    await using streams = new AsyncDisposableStack();
    let newer: Streaming | undefined;
    await whileItWaits(
      db,
      () => dispatchAll(first, names("j", 6), LEASED_BY[by]),
      async () => {
        newer = streams.use(await openWorker(second, { instanceId: older.instanceId, maxInFlight: 2 }));
      },
    );
    const work = newer as unknown as Streaming;
    const jobs = await takeJobs(work, 2);
    await until("the late claim is undone", async () => (await tally(db)).states["RUNNING"] === 2);
    expect(await tally(db)).toEqual({ states: { RUNNING: 2, PENDING: 4 }, attempts: 1 });
    expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 1]);
    for (const id of idsOf(jobs)) expect(await countsOf(db, id)).toMatchObject({ status: "RUNNING", attempt: 1 });
  },
);

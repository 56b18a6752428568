/** The claim of postgres.md 2: a move changes nothing that an index of ai_job holds, and the page has room for it. */
import { expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { legacyReport } from "../../src/store/legacy-report.ts";
import { reclaim, reclaimUnheld } from "../../src/store/reclaim.ts";
import { release } from "../../src/store/release.ts";
import { retry } from "../../src/store/retry.ts";
import type { Lease } from "../../src/store/rows.ts";
import { openTestDatabase, test } from "../support/db.ts";
import {
  claimAs,
  claimSeats,
  done,
  expectNoDrift,
  failed,
  givenSeat,
  legacyDone,
  newJob,
  reportAll,
} from "../support/jobs.ts";
import { until } from "../support/until.ts";

const JOBS = 50;

type Life = (db: Database, leases: Lease[]) => Promise<unknown>;

/**
 * Every move there is, in lives of at most three updates: so many fit beside a row of this size without a clean-up of
 * the page, which anyone's open transaction, in whatever database of the server, puts off.
 */
const LIVES: Record<string, Life> = {
  "heartbeat and report": async (db, leases) => {
    const progress = { percent: 5, note: "begun" };
    await heartbeat(
      db.reserved,
      leases.map((lease) => ({ ...lease, progress })),
      60_000,
    );
    await reportAll(db, ...leases.map((lease) => done(lease)));
  },
  "failure and retry": async (db, leases) => {
    await reportAll(db, ...leases.map((lease) => failed(lease, { retryable: false })));
    await retry(
      db.sql,
      leases.map(({ jobId }) => jobId),
    );
  },
  "release and cancel": async (db, leases) => {
    await release(db.reserved, leases, 20);
    await cancel(
      db.sql,
      leases.map(({ jobId }) => jobId),
      "enough",
      0,
    );
  },
  "cancel and reclaim": async (db, leases) => {
    await cancel(
      db.sql,
      leases.map(({ jobId }) => jobId),
      "enough",
      0,
    );
    await reclaim(db.sql, JOBS);
  },
  "legacy report": async (db, leases) => {
    for (const { jobId } of leases) await legacyReport(db.reserved, legacyDone(jobId), DEFAULT_BACKOFF);
  },
};

/** The same, of leases that were got through a stream. */
const SEATED: Record<string, Life> = {
  "seats and report": (db, leases) => reportAll(db, ...leases.map((lease) => done(lease))),
  "seats and another stream": (db) => reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }]),
};

const UPDATES = JOBS * (4 * 3 + 2 + 2 * 2);

test("on a database without Django's two indexes, every update of every move is a HOT update", async ({ db, url }) => {
  const own = openTestDatabase(url);
  try {
    const seats = Array(JOBS).fill(await givenSeat(own, "i1"));
    for (const [type, life] of Object.entries({ ...LIVES, ...SEATED })) {
      const job = { type, payload: JSON.stringify({ note: "x".repeat(1_500) }) };
      await dispatch(
        own.sql,
        Array.from({ length: JOBS }, () => newJob(job)),
      );
      const types = [type];
      const leases = type in SEATED ? claimSeats(own, seats, { types }) : claimAs(own, "w1", { types, limit: JOBS });
      await life(own, await leases);
    }
  } finally {
    // A backend gives its counts away when it ends.
    await own.close();
  }
  const updates = await until("the counts are there", async () => {
    const [row] = await db.sql<{ all: number; hot: number }[]>`
      SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relname = 'ai_job'`;
    return row !== undefined && row.all >= UPDATES && row;
  });
  expect(updates).toEqual({ all: UPDATES, hot: UPDATES });
  await expectNoDrift(db);
});

import { pino } from "pino";
import { expect } from "vitest";
import { pruneLoops } from "../../src/loops/prune.ts";
import type { Database } from "../../src/store/db.ts";
import { brokerSeen } from "../../src/store/sessions.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";

const DAYS = 30;

/** DONE so many days ago, in a row; the last has the highest id. */
async function givenEnded(db: Database, count: number, days: number): Promise<void> {
  await db.sql`INSERT INTO ai_job (job_id, job_type, status, created_at, finished_at, move)
    SELECT 'ended-' || ${days}::int || '-' || n, 'ocr', 'DONE', now() - ${days}::int * interval '1 day',
      now() - ${days}::int * interval '1 day', 1 FROM generate_series(1, ${count}::int) n`;
}

const jobsIn = async (db: Database) => (await db.sql`SELECT FROM ai_job`).length;

function loopsOf(db: Database, lines: string[] = []) {
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const [oldest, all] = pruneLoops({ sql: db.background, brokerId: "me", days: DAYS, mode: "delete", log });
  if (oldest === undefined || all === undefined) throw new Error("no loops");
  return { oldest, all };
}

test("by default nothing leaves, and no loop runs", ({ db }) => {
  const log = pino({ level: "silent" });
  expect(pruneLoops({ sql: db.background, brokerId: "me", days: 0, mode: "delete", log })).toEqual([]);
});

test("the oldest leave step by step with pauses between, until the young are reached; then it rests", async ({
  db,
}) => {
  await brokerSeen(db.sql, "me");
  await givenEnded(db, 600, 40);
  await givenEnded(db, 1_500, 2);
  const lines: string[] = [];
  const { oldest } = loopsOf(db, lines);
  const left: number[] = [];
  do {
    await oldest.once();
    left.push(await jobsIn(db));
  } while (oldest.everyMs < 60_000);
  expect(left).toEqual([1_850, 1_600, 1_500, 1_500]);
  expect(lines).toEqual([expect.stringMatching(/"jobs":600,.*ended more than 30 days ago/)]);
});

test("the walk at leisure finds those that are older than their place tells", async ({ db }) => {
  await brokerSeen(db.sql, "me");
  await givenEnded(db, 1_200, 2);
  await givenEnded(db, 5, 40);
  const { oldest, all } = loopsOf(db);
  await oldest.once();
  expect([oldest.everyMs, await jobsIn(db)]).toEqual([60_000, 1_205]);
  await all.once();
  await all.once();
  expect(await jobsIn(db)).toBe(1_200);
});

test("a broker whose turn it is not leaves all as it is", async ({ db }) => {
  await brokerSeen(db.sql, "another");
  await givenEnded(db, 5, 40);
  const { oldest, all } = loopsOf(db);
  await oldest.once();
  await all.once();
  expect(await jobsIn(db)).toBe(5);
});

test("after a failure it begins anew, and not at once", async ({ db }) => {
  await brokerSeen(db.sql, "me");
  await givenEnded(db, 5, 40);
  const { all, oldest } = loopsOf(db);
  await db.sql`ALTER TABLE ai_job RENAME TO ai_job_away`;
  try {
    await expect(oldest.once()).rejects.toThrow("ai_job");
    await expect(all.once()).rejects.toThrow("ai_job");
    expect([oldest.everyMs, all.everyMs]).toEqual([60_000, 60_000]);
  } finally {
    await db.sql`ALTER TABLE ai_job_away RENAME TO ai_job`;
  }
  await oldest.once();
  expect(await jobsIn(db)).toBe(0);
});

test("a broker with RETENTION_DAYS archives, and tells so of a job that is asked for", async ({ db, url }) => {
  await givenEnded(db, 2, 40);
  await givenEnded(db, 1, 2);
  await using broker = await startTestBroker(url, { RETENTION_DAYS: String(DAYS), RETENTION_MODE: "archive" });
  await until("the old ones have left", async () => (await jobsIn(db)) === 1);
  await expect(broker.jobs.getJob({ jobId: "ended-40-1" })).rejects.toThrow(
    /"ended-40-1" ended and was archived at \d{4}-.*Z: .* ai_job_archive/,
  );
  await expect(broker.jobs.getJob({ jobId: "unknown" })).rejects.toThrow('there is no job "unknown"');
});

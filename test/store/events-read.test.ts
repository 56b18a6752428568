/** The outbox, read on from a place. */
import { expect } from "vitest";
import { type Database, openPool } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import {
  comparePlaces,
  type EventPlace,
  eventHorizon,
  eventsAfter,
  eventsNow,
  forgetEvents,
  matches,
} from "../../src/store/events.ts";
import { sawIn } from "../../src/store/snapshot.ts";
import { freshDatabase, openTestDatabase, test } from "../support/db.ts";
import { givenJob, newJob, statusOf } from "../support/jobs.ts";
import { START, told } from "../support/told.ts";
import { until } from "../support/until.ts";

test("a transaction that began before and ends later is not passed over", async ({ db, url }) => {
  const other = openTestDatabase(url);
  await givenJob(db, { id: "before" });
  const place = (await told(db)).at(-1)?.place as EventPlace;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isOpen = () => {};
  const open = new Promise<void>((resolve) => {
    isOpen = resolve;
  });
  const slow = other.sql.begin(async (tx) => {
    await dispatch(tx as unknown as Database["sql"], [newJob({ id: "slow" })]);
    isOpen();
    await held;
  });
  await open;
  // With a later id and an earlier commit.
  await givenJob(db, { id: "quick" });
  const meanwhile = await eventsAfter(db.sql, place, 10, {}, "database");
  expect(meanwhile.events).toEqual([]);
  release();
  await slow;
  const after = await told(db, meanwhile.upTo);
  expect(after.map(({ jobId }) => jobId)).toEqual(["slow", "quick"]);
  expect(await told(db, after.at(-1)?.place)).toEqual([]);
  await other.close();
});

test("a transaction of another database holds nothing up for who looks closely; one of ours does", async ({
  db,
  url,
}) => {
  const elsewhere = await freshDatabase({ empty: true });
  const others = openPool({ url: elsewhere.url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  const ours = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  const begin = (sql: typeof ours) => sql.unsafe("BEGIN; CREATE TEMP TABLE t (); SELECT pg_current_xact_id()");
  const seen = async () => (await eventsAfter(db.sql, START, 10, {}, "database")).events.map(({ jobId }) => jobId);
  await begin(others);
  await givenJob(db, { id: "first" });
  expect((await eventsAfter(db.sql, START, 10)).events).toEqual([]);
  await until("it is seen", async () => (await seen()).length === 1);
  await begin(ours);
  await givenJob(db, { id: "second" });
  await until("the first is still seen", async () => {
    const ids = await seen();
    // Whatever else is found out meanwhile.
    expect(ids).not.toContain("second");
    return ids.length === 1;
  });
  await ours.unsafe("COMMIT");
  await until("the second is seen", async () => (await seen()).length === 2);
  expect((await eventsAfter(db.sql, START, 10)).events).toEqual([]);
  await Promise.all([ours.end(), others.end()]);
  await elsewhere.drop();
});

test("page by page everything comes once, and what does not match moves the place on", async ({ db }) => {
  await dispatch(
    db.sql,
    Array.from({ length: 25 }, (_, i) =>
      newJob({ id: `j${i}`, type: i % 2 === 0 ? "even" : "odd", tenantId: `t${i % 3}` }),
    ),
  );
  const filter = { types: ["even"], tenantId: "t0" };
  const all = await told(db);
  const last = all.at(-1)?.place as EventPlace;
  const ids: string[] = [];
  let place = START;
  for (let more = true; more; ) {
    const page = await eventsAfter(db.sql, place, 2, filter, last);
    ids.push(...page.events.map(({ jobId }) => jobId));
    expect(comparePlaces(page.upTo, place)).toBeGreaterThan(0);
    ({ upTo: place, more } = page);
  }
  expect(ids).toEqual(["j0", "j6", "j12", "j18", "j24"]);
  expect(all.filter((event) => matches(filter, event)).map(({ jobId }) => jobId)).toEqual(ids);
  expect(place).toEqual(last);
});

test("from now on means: nothing of before but what the snapshot shows, everything that commits later", async ({
  db,
}) => {
  await givenJob(db);
  const { place, snapshot } = await eventsNow(db.sql);
  const unseen = async () => (await told(db, place)).filter((event) => !sawIn(snapshot, event.place.xid));
  expect(await unseen()).toEqual([]);
  const later = await givenJob(db);
  expect((await unseen()).map(({ jobId }) => jobId)).toEqual([later]);
});

/** A transaction that has its number before it waits for the job: its event has the later seq at the earlier place. */
async function knot(db: Database, jobId: string): Promise<void> {
  await db.sql`INSERT INTO ai_event (xid, id, job_id, seq, kind, job_type, attempt)
    SELECT x::text::xid8, i, ${jobId}, s, 'started', 'ocr', 1 FROM (VALUES (5, 1001, 3), (6, 1002, 2), (7, 1003, 4)) v (x, i, s)`;
}

test("events of one job come in the order of seq, also where their places do not", async ({ db }) => {
  await knot(db, "j");
  expect((await told(db)).map(({ seq }) => seq)).toEqual([2, 3, 4]);
});

test("a page does not end between an event and an earlier one of its job, however small it is", async ({ db }) => {
  await knot(db, "j");
  const seqs: number[] = [];
  let place = START;
  for (let more = true; more; ) {
    const page = await eventsAfter(db.sql, place, 1, {}, "database");
    seqs.push(...page.events.map(({ seq }) => seq));
    ({ upTo: place, more } = page);
  }
  expect(seqs).toEqual([2, 3, 4]);
});

test("an event waits for an earlier one of its job that cannot be told yet, and so does a place of now", async ({
  db,
  url,
}) => {
  const other = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  await other.unsafe("BEGIN; SELECT pg_current_xact_id()");
  // Its transaction began after the open one.
  const [late] = await db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt)
    VALUES ('j', 2, 'started', 'ocr', 1) RETURNING xid::text`;
  await db.sql`INSERT INTO ai_event (xid, job_id, seq, kind, job_type, attempt) VALUES
    ('5', 'other', 1, 'started', 'ocr', 1), ('6', 'j', 3, 'started', 'ocr', 1), ('7', 'third', 1, 'started', 'ocr', 1)`;
  const page = await eventsAfter(db.sql, START, 10, {}, "database");
  expect(page.events.map(({ jobId }) => jobId)).toEqual(["other"]);
  const { place } = await eventsNow(db.sql);
  expect(place.xid).toBe("6");
  await other.unsafe("COMMIT");
  await other.end();
  const rest = await told(db, page.upTo);
  expect(rest.map(({ jobId, seq }) => [jobId, seq])).toEqual([
    ["j", 2],
    ["third", 1],
    ["j", 3],
  ]);
  expect(rest[0]?.place.xid).toBe(late?.["xid"]);
});

test("old events go, the oldest first and in batches, and the horizon says so", async ({ db }) => {
  expect(await eventHorizon(db.sql)).toBeNull();
  for (let n = 0; n < 5; n++) await givenJob(db);
  const events = await told(db);
  await db.sql`UPDATE ai_event SET at = at - interval '8 days' WHERE id <> ${events[3]?.place.id as string}`;
  expect(await forgetEvents(db.sql, 7, 2)).toBe(2);
  expect(await eventHorizon(db.sql)).toEqual(events[1]?.place);
  // The last is old, too, but stands behind one that is not.
  expect(await forgetEvents(db.sql, 7, 10)).toBe(1);
  expect(await forgetEvents(db.sql, 7, 10)).toBe(0);
  expect(await eventHorizon(db.sql)).toEqual(events[2]?.place);
  expect((await told(db)).map(({ jobId }) => jobId)).toEqual(events.slice(3).map(({ jobId }) => jobId));
  expect(await statusOf(db, events[0]?.jobId as string)).toBe("PENDING");
});

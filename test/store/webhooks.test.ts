/** Webhooks as rows: fan-out exactly once, claims, leases, order. */
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { giveBack, recordDelivered, recordFailed } from "../../src/store/deliveries.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { forgetEvents } from "../../src/store/events.ts";
import { fanOut, resetForeignPlaces } from "../../src/store/fan-out.ts";
import {
  addHandler,
  addWebhook,
  disableWebhook,
  endpointAnswered,
  endpointFailed,
  findEndpoint,
  handlerId,
  listWebhooks,
  MAX_WEBHOOKS,
  removeWebhook,
} from "../../src/store/webhooks.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { done, givenJob, givenLease, newJob, reportAll } from "../support/jobs.ts";
import {
  claimFor,
  deliveriesOf,
  FAILURE,
  fannedOut,
  givenDone,
  givenWebhook,
  keysOf,
  letWaitsPass,
} from "../support/webhooks.ts";

const EVERY = { kinds: [] };

test("a webhook gets what happens after it was made, of the types and kinds that it asks for", async ({ db }) => {
  await givenDone(db, { id: "before" });
  const ends = await givenWebhook(db);
  const starts = await givenWebhook(db, { kinds: ["dispatched"], types: ["embedding", "math"] });
  await givenDone(db, { id: "a" });
  await givenDone(db, { id: "b", type: "embedding" });
  await fannedOut(db);
  expect(keysOf(await deliveriesOf(db, ends))).toEqual([
    ["a", "done"],
    ["b", "done"],
  ]);
  expect(keysOf(await deliveriesOf(db, starts))).toEqual([["b", "dispatched"]]);
});

test("what had committed before is not told although an older transaction is still open; what that one does is", async ({
  db,
  url,
}) => {
  const other = openTestDatabase(url);
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const slow = other.sql.begin(async (tx) => {
    await tx`SELECT pg_current_xact_id()`;
    begun.resolve();
    await held.promise;
    await dispatch(tx as unknown as Database["sql"], [newJob({ id: "slow" })]);
  });
  await begun.promise;
  await givenJob(db, { id: "before" });
  const hook = await givenWebhook(db, EVERY);
  held.resolve();
  await slow;
  await givenJob(db, { id: "after" });
  await fannedOut(db);
  expect(keysOf(await deliveriesOf(db, hook))).toEqual([
    ["after", "dispatched"],
    ["slow", "dispatched"],
  ]);
  await other.close();
});

test("whoever fans out, and however many at once, each event becomes one delivery, also when it is delivered at once", async ({
  db,
  url,
}) => {
  const other = openTestDatabase(url);
  await givenWebhook(db, EVERY);
  await givenWebhook(db, EVERY);
  const jobs = Array.from({ length: 60 }, (_, n) => newJob({ id: `j${n}` }));
  let made = 0;
  const racing = [db, db, other, other].map(async ({ sql }) => {
    while (made < 2 * jobs.length) {
      // In pages of 7, so that places move often.
      const fanned = await fanOut(sql, [], 7);
      made += fanned.made;
      await sql`DELETE FROM ai_delivery`;
    }
  });
  for (const job of jobs) await dispatch(db.sql, [job]);
  await Promise.all(racing);
  await fannedOut(db);
  expect(made).toBe(2 * jobs.length);
  const [left] = await db.sql`SELECT count(*)::int AS count FROM ai_delivery`;
  expect(left).toEqual({ count: 0 });
  await other.close();
});

test("two brokers claim at once: each delivery goes to one of them", async ({ db, url }) => {
  const other = openTestDatabase(url);
  await givenWebhook(db, { kinds: ["dispatched"] });
  await dispatch(
    db.sql,
    Array.from({ length: 50 }, () => newJob()),
  );
  await fannedOut(db);
  const claims = await Promise.all(
    [db, other, db, other].map((one, n) => claimFor(one, `broker-${n % 2}`, { most: 30 })),
  );
  const events = claims.flat().map(({ eventId }) => eventId);
  expect(new Set(events).size).toBe(events.length);
  events.push(...(await claimFor(db, "broker-1")).map(({ eventId }) => eventId));
  expect(new Set(events).size).toBe(50);
  expect(events).toHaveLength(50);
  await other.close();
});

test("a delivery whose broker has died is handed out again when its lease is over, and the late word of the first counts no more", async ({
  db,
}) => {
  await givenWebhook(db);
  await givenDone(db);
  await fannedOut(db);
  const [first] = await claimFor(db, "dead", { leaseMs: 60_000 });
  expect(await claimFor(db, "other")).toEqual([]);
  await db.sql`UPDATE ai_delivery SET claimed_until = now() - interval '1 second'`;
  const [second] = await claimFor(db, "other");
  expect(second).toMatchObject({ eventId: first?.eventId, seq: first?.seq, tries: 2 });
  expect(await recordDelivered(db.sql, first!)).toBe(false);
  expect(await recordFailed(db.sql, first!, FAILURE)).toBe(false);
  await giveBack(db.sql, first!);
  expect(await recordDelivered(db.sql, second!)).toBe(true);
  expect(await claimFor(db, "other")).toEqual([]);
});

test("a job's next event waits for the one before it: delivered or dead, but no longer", async ({ db }) => {
  const hook = await givenWebhook(db, EVERY);
  await givenDone(db, { id: "a" });
  await givenDone(db, { id: "b" });
  await fannedOut(db);
  const first = await claimFor(db, "w");
  expect(first.map(({ jobId, kind }) => [jobId, kind])).toEqual([
    ["a", "dispatched"],
    ["b", "dispatched"],
  ]);
  expect(await claimFor(db, "w")).toEqual([]);
  await recordDelivered(db.sql, first[0]!);
  await recordFailed(db.sql, first[1]!, FAILURE);
  expect((await claimFor(db, "w")).map(({ jobId, kind }) => [jobId, kind])).toEqual([["a", "started"]]);
  await letWaitsPass(db);
  await db.sql`UPDATE ai_delivery SET dead_at = now() WHERE job_id = 'b' AND kind = 'dispatched'`;
  expect((await claimFor(db, "w")).map(({ jobId, kind }) => [jobId, kind])).toEqual([["b", "started"]]);
  expect(await deliveriesOf(db, hook)).toHaveLength(5);
});

test("what stands behind an event that waits is not due before it, and is as soon as that is delivered or dead", async ({
  db,
}) => {
  const hook = await givenWebhook(db, EVERY);
  for (const id of ["delivered", "dead"]) await givenJob(db, { id });
  await fannedOut(db);
  for (const first of await claimFor(db, "w")) await recordFailed(db.sql, first, { ...FAILURE, delayMs: 3_600_000 });
  for (let n = 0; n < 2; n++) await reportAll(db, done(await givenLease(db)));
  await fannedOut(db);
  const due = async () =>
    (await deliveriesOf(db, hook)).filter(({ next_at: at }) => (at as Date).getTime() < Date.now() + 60_000);
  expect(await due()).toEqual([]);
  await db.sql`UPDATE ai_delivery SET next_at = now() WHERE kind = 'dispatched'`;
  await db.sql`UPDATE ai_delivery SET tries = 9 WHERE job_id = 'dead'`;
  for (const again of await claimFor(db, "w")) {
    if (again.jobId === "dead") expect(await recordFailed(db.sql, again, FAILURE)).toEqual({ dead: true });
    else expect(await recordDelivered(db.sql, again)).toBe(true);
  }
  expect((await claimFor(db, "w")).map(({ jobId, kind }) => [jobId, kind]).sort()).toEqual([
    ["dead", "started"],
    ["delivered", "started"],
  ]);
});

test("an event that stands later in the log but came earlier to its job is waited for", async ({ db }) => {
  const hook = await givenWebhook(db, EVERY);
  await givenDone(db, { id: "a" });
  await fannedOut(db);
  // A transaction that was numbered before another and came to the job after it.
  await db.sql`DELETE FROM ai_delivery WHERE kind = 'started'`;
  await db.sql`UPDATE ai_event SET xid = pg_current_xact_id() WHERE job_id = 'a' AND kind = 'started'`;
  const [first] = await claimFor(db, "w");
  await recordDelivered(db.sql, first!);
  expect(await claimFor(db, "w")).toEqual([]);
  await fannedOut(db);
  expect((await claimFor(db, "w")).map(({ kind }) => kind)).toEqual(["started"]);
  expect(keysOf(await deliveriesOf(db, hook))).toEqual([
    ["a", "started"],
    ["a", "done"],
  ]);
});

test("each webhook gives out as much as there is room for, and nothing while it is left alone", async ({ db }) => {
  const [one, two] = [await givenWebhook(db, EVERY), await givenWebhook(db, EVERY)];
  for (let n = 0; n < 5; n++) await givenJob(db);
  await fannedOut(db);
  const busy = new Map([[one, 2]]);
  const count = (claimed: { webhookId: string }[], id: string) =>
    claimed.filter(({ webhookId }) => webhookId === id).length;
  const claimed = await claimFor(db, "w", { most: 3, busy });
  expect([count(claimed, one), count(claimed, two)]).toEqual([1, 3]);
  for (let n = 0; n < 5; n++) {
    const health = { webhookId: two, status: 500, error: "x", pauseMs: (n: number) => (n < 5 ? 0 : 60_000) };
    expect(await endpointFailed(db.sql, health)).toBe(n + 1);
  }
  expect(count(await claimFor(db, "w"), two)).toBe(0);
  await db.sql`UPDATE ai_webhook SET open_until = now() - interval '1 second' WHERE id = ${two}`;
  expect(count(await claimFor(db, "w"), two)).toBe(1);
  await endpointAnswered(db.sql, two);
  expect(count(await claimFor(db, "w"), two)).toBe(1);
});

test("a disabled webhook gets nothing; a removed one is gone with all that waited", async ({ db }) => {
  const [off, gone] = [await givenWebhook(db), await givenWebhook(db)];
  await givenDone(db);
  await fannedOut(db);
  await disableWebhook(db.sql, off, "it answered 410 (gone)");
  expect(await removeWebhook(db.sql, gone)).toBe(true);
  expect(await removeWebhook(db.sql, gone)).toBe(false);
  await givenDone(db);
  await fannedOut(db);
  expect(await claimFor(db, "w")).toEqual([]);
  const [row] = await db.sql`SELECT count(*)::int AS count FROM ai_delivery`;
  expect(row).toEqual({ count: 1 });
  expect(await listWebhooks(db)).toMatchObject([{ id: off, disabledReason: "it answered 410 (gone)" }]);
  expect(await findEndpoint(db, gone)).toBeNull();
  expect(await findEndpoint(db, off)).toMatchObject({ disabled: true });
});

test("there are at most so many webhooks", async ({ db }) => {
  await db.sql`INSERT INTO ai_webhook (id, url, secret, types, kinds, xid, event_id)
    SELECT 'wh_' || n, 'https://example.org', 'x', '{}', '{}', '0', 0 FROM generate_series(1, ${MAX_WEBHOOKS}::int) n`;
  expect(await addWebhook(db.sql, { url: "https://example.org", secret: "x", types: [], kinds: [] })).toBeNull();
});

test("a handler's row keeps its place, and its events are for brokers that have the handler", async ({ db }) => {
  await addHandler(db.sql, "grade", [], ["done"]);
  await givenDone(db, { id: "a" });
  await fannedOut(db);
  await addHandler(db.sql, "grade", [], ["done"]);
  const handlers = [handlerId("grade")];
  expect(await deliveriesOf(db, handlerId("grade"))).toEqual([]);
  await fannedOut(db, handlers);
  expect(await claimFor(db, "without")).toEqual([]);
  expect(await claimFor(db, "with", { handlers })).toMatchObject([{ jobId: "a", url: null }]);
  expect(await listWebhooks(db)).toEqual([]);
});

test("in a database restored from another server's dump a webhook goes on with what waits and what happens here", async ({
  db,
}) => {
  const [hook, other] = [await givenWebhook(db), await givenWebhook(db)];
  await givenDone(db, { id: "dumped" });
  await fannedOut(db);
  await db.sql`UPDATE ai_event SET xid = '8000000000', at = at - interval '8 days'`;
  await db.sql`UPDATE ai_webhook SET xid = '9000000000', born = '9000000000:9000000000:' WHERE id = ${hook}`;
  await givenDone(db, { id: "here" });
  await fannedOut(db);
  expect(keysOf(await deliveriesOf(db, hook))).toEqual([["dumped", "done"]]);
  expect(await resetForeignPlaces(db.sql)).toBe(1);
  expect(await resetForeignPlaces(db.sql)).toBe(0);
  await fannedOut(db);
  expect((await claimFor(db, "w")).map(({ webhookId, jobId }) => [webhookId === hook, jobId]).sort()).toEqual([
    [false, "dumped"],
    [false, "here"],
    [true, "dumped"],
    [true, "here"],
  ]);
  expect(await deliveriesOf(db, other)).toHaveLength(2);
  await db.sql`UPDATE ai_event SET at = at - interval '8 days'`;
  expect(await forgetEvents(db.sql, 7, 100)).toBe(6);
});

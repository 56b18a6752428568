/** What becomes of deliveries: dead, redelivered, forgotten; and the result that goes with one. */
import { expect } from "vitest";
import { MAX_TRIES } from "../../src/job/delivery.ts";
import { forgetDeliveries, recordFailed } from "../../src/store/deliveries.ts";
import { resultOfEvent } from "../../src/store/delivery-result.ts";
import { forgetEvents } from "../../src/store/events.ts";
import { redeliverDead, redeliverJob, redeliverSince } from "../../src/store/redeliver.ts";
import { retry } from "../../src/store/retry.ts";
import { disableWebhook, listWebhooks } from "../../src/store/webhooks.ts";
import { test } from "../support/db.ts";
import { done, failed, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { claimFor, deliveriesOf, FAILURE, fannedOut, givenDone, givenWebhook, keysOf } from "../support/webhooks.ts";

test("after the last try an event is dead until it is redelivered, and begins anew then", async ({ db }) => {
  const hook = await givenWebhook(db);
  await givenDone(db);
  await fannedOut(db);
  for (let n = 1; n <= MAX_TRIES; n++) {
    const [claimed] = await claimFor(db, "w");
    expect(claimed?.tries).toBe(n);
    expect(await recordFailed(db.sql, claimed!, { ...FAILURE, delayMs: -1 })).toEqual({ dead: n === MAX_TRIES });
  }
  expect(await claimFor(db, "w")).toEqual([]);
  expect(await listWebhooks(db)).toMatchObject([{ id: hook, pending: 0, dead: 1 }]);
  expect(await redeliverDead(db.sql, hook)).toBe(1);
  expect(await redeliverDead(db.sql, hook)).toBe(0);
  expect(await listWebhooks(db)).toMatchObject([{ pending: 1, dead: 0 }]);
  expect((await claimFor(db, "w")).map(({ tries }) => tries)).toEqual([1]);
});

test("what was delivered is sent again by job, by number or since a time; what waits is not doubled", async ({
  db,
}) => {
  const hook = await givenWebhook(db, { kinds: ["started", "done"] });
  for (const id of ["a", "b", "c"]) await givenDone(db, { id });
  await fannedOut(db);
  await db.sql`DELETE FROM ai_delivery`;
  expect(await redeliverJob(db.sql, hook, "a", null)).toBe(2);
  expect(await redeliverJob(db.sql, hook, "a", null)).toBe(0);
  expect(await redeliverJob(db.sql, hook, "b", 3)).toBe(1);
  // Not asked for, and not there.
  expect(await redeliverJob(db.sql, hook, "b", 1)).toBe(0);
  expect(await redeliverJob(db.sql, hook, "none", null)).toBe(0);
  expect(await redeliverSince(db.sql, hook, new Date(0))).toBe(3);
  expect(await deliveriesOf(db, hook)).toHaveLength(6);
  await db.sql`DELETE FROM ai_delivery`;
  const old = "interval '3 hours'";
  await db.sql.unsafe(`UPDATE ai_event SET at = at - ${old} WHERE job_id IN ('a', 'b')`);
  expect(await redeliverSince(db.sql, hook, new Date(Date.now() - 3_600_000))).toBe(2);
  expect(keysOf(await deliveriesOf(db, hook))).toEqual([
    ["c", "started"],
    ["c", "done"],
  ]);
  await db.sql`UPDATE ai_delivery SET dead_at = now()`;
  expect(await redeliverJob(db.sql, hook, "c", 3)).toBe(1);
  expect(await redeliverSince(db.sql, hook, new Date(Date.now() - 3_600_000))).toBe(1);
});

test("a redelivery does not bring what the webhook has not come to yet", async ({ db }) => {
  const hook = await givenWebhook(db);
  await givenDone(db, { id: "a" });
  expect(await redeliverJob(db.sql, hook, "a", null)).toBe(0);
  expect(await redeliverSince(db.sql, hook, new Date(0))).toBe(0);
  await fannedOut(db);
  expect(await deliveriesOf(db, hook)).toHaveLength(1);
});

test("a result goes with its event only as long as the job has not gone on", async ({ db }) => {
  const id = await givenJob(db);
  await reportAll(db, done(await givenLease(db), { result: '{"n": 12345678901234567890}' }));
  expect(await resultOfEvent(db.sql, id, 3, 100)).toEqual({ text: '{"n": 12345678901234567890}' });
  expect(await resultOfEvent(db.sql, id, 3, 10)).toEqual({ omitted: "too_large" });
  expect(await resultOfEvent(db.sql, id, 2, 100)).toEqual({ omitted: "changed" });
  expect(await resultOfEvent(db.sql, "none", 1, 100)).toEqual({ omitted: "gone" });
  const other = await givenJob(db);
  await reportAll(db, failed(await givenLease(db), { retryable: false }));
  expect(await resultOfEvent(db.sql, other, 3, 100)).toEqual({ text: null });
  await retry(db.sql, [other]);
  expect(await resultOfEvent(db.sql, other, 3, 100)).toEqual({ omitted: "changed" });
});

test("what is past its time goes: the late are given up, the dead and the disabled are removed", async ({ db }) => {
  const [hook, off] = [await givenWebhook(db), await givenWebhook(db)];
  for (const id of ["fresh", "late", "dead", "long-dead"]) await givenDone(db, { id });
  await fannedOut(db);
  await db.sql`UPDATE ai_delivery SET wanted_at = now() - interval '73 hours' WHERE job_id = 'late'`;
  await db.sql`UPDATE ai_delivery SET dead_at = now() WHERE job_id = 'dead'`;
  await db.sql`UPDATE ai_delivery SET dead_at = now() - interval '31 days' WHERE job_id = 'long-dead'`;
  await disableWebhook(db.sql, off, "gone");
  while (await forgetDeliveries(db.sql, 2));
  const rows = await deliveriesOf(db, hook);
  expect(rows.map((row) => [row["job_id"], row["dead_at"] !== null]).sort()).toEqual([
    ["dead", true],
    ["fresh", false],
    ["late", true],
  ]);
  expect(await deliveriesOf(db, off)).toEqual([]);
});

test("an event that a webhook has not come to is not removed for its age; a disabled one holds up nothing", async ({
  db,
}) => {
  const [hook, off] = [await givenWebhook(db), await givenWebhook(db)];
  await disableWebhook(db.sql, off, "gone");
  await givenDone(db, { id: "a" });
  await db.sql`UPDATE ai_event SET at = at - interval '8 days'`;
  expect(await forgetEvents(db.sql, 7, 10)).toBe(0);
  await fannedOut(db);
  expect(await forgetEvents(db.sql, 7, 10)).toBe(3);
  expect(keysOf(await deliveriesOf(db, hook))).toEqual([["a", "done"]]);
});

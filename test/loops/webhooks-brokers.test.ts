/** Deliveries among brokers and endpoints: order, fairness, the circuit, crashes, redelivery. */

import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { claimDeliveries } from "../../src/store/deliveries.ts";
import { redeliverDead, redeliverJob } from "../../src/store/redeliver.ts";
import { forgetBroker } from "../../src/store/sessions.ts";
import { listWebhooks } from "../../src/store/webhooks.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { done, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import {
  claimFor,
  deliveriesOf,
  delivering,
  fannedOut,
  givenDeliverer,
  givenWebhook,
  letWaitsPass,
  startReceiver,
} from "../support/webhooks.ts";

async function givenDone(db: Database): Promise<string> {
  const id = await givenJob(db);
  await reportAll(db, done(await givenLease(db)));
  return id;
}

const nothingWaits = (db: Database, hook: string) => async () => (await deliveriesOf(db, hook)).length === 0;

test("a slow endpoint delays no other, and takes no more than its share", async ({ db }) => {
  await using slow = await startReceiver(() => "hang");
  await using quick = await startReceiver();
  await givenWebhook(db, { url: slow.url });
  await givenWebhook(db, { url: quick.url });
  for (let n = 0; n < 20; n++) await givenDone(db);
  const deliverer = givenDeliverer(db, { timeoutMs: 60_000 });
  await delivering("the quick one has all", deliverer, () => quick.told.length === 20);
  await until("the slow one holds its share", () => slow.open() === 8);
  expect(slow.told).toHaveLength(8);
  await deliverer.stop(0);
});

test("a job's events arrive in their order, and one that fails holds back those behind it", async ({ db }) => {
  await using receiver = await startReceiver(({ data }, n) => (data["kind"] === "started" && n < 8 ? 500 : 200));
  const hook = await givenWebhook(db, { url: receiver.url, kinds: [] });
  const jobs = [await givenDone(db), await givenDone(db), await givenDone(db)];
  const deliverer = givenDeliverer(db);
  await delivering("all are delivered", deliverer, async () => {
    await letWaitsPass(db);
    return receiver.told.length > 9 && (await nothingWaits(db, hook)());
  });
  for (const job of jobs) {
    const seqs = receiver.told.filter(({ data }) => data["job_id"] === job).map(({ data }) => Number(data["seq"]));
    expect(seqs).toEqual([...seqs].sort());
    expect(new Set(seqs)).toEqual(new Set([1, 2, 3]));
  }
  await deliverer.stop(0);
});

test("an endpoint that fails again and again is left alone, asked once in a while, and taken up when it answers", async ({
  db,
}) => {
  let isUp = false;
  await using receiver = await startReceiver(() => (isUp ? 200 : 503));
  const hook = await givenWebhook(db, { url: receiver.url });
  for (let n = 0; n < 30; n++) await givenDone(db);
  const deliverer = givenDeliverer(db);
  const state = async () => (await listWebhooks(db))[0]!;
  await delivering("the circuit is open", deliverer, async () => (await state()).openUntil !== null);
  await until("what was under way has failed", async () => {
    const [row] = await db.sql`SELECT count(claimed_by)::int AS claimed FROM ai_delivery`;
    return row?.["claimed"] === 0 && (await state()).failures === receiver.told.length;
  });
  const before = receiver.told.length;
  expect(before).toBeLessThan(30);
  await deliverer.once();
  expect(receiver.told).toHaveLength(before);
  expect(deliverer.lines.join()).toContain("it is asked less often");
  await db.sql`UPDATE ai_webhook SET open_until = now() - interval '1 second'`;
  await delivering("one is tried", deliverer, async () => (await state()).failures === before + 1);
  expect(receiver.told).toHaveLength(before + 1);
  isUp = true;
  await letWaitsPass(db);
  await delivering("all is delivered", deliverer, nothingWaits(db, hook));
  expect(await state()).toMatchObject({ failures: 0, openUntil: null });
  await deliverer.stop(0);
});

test("dead events come with the ids that they had when they are redelivered, and so do delivered ones", async ({
  db,
}) => {
  let isUp = false;
  await using receiver = await startReceiver(() => (isUp ? 200 : 500));
  const hook = await givenWebhook(db, { url: receiver.url });
  const job = await givenDone(db);
  const deliverer = givenDeliverer(db);
  await delivering("it is dead", deliverer, async () => {
    await letWaitsPass(db);
    return (await listWebhooks(db))[0]?.dead === 1;
  });
  expect(receiver.told).toHaveLength(10);
  await until("its end is logged", () => deliverer.lines.join().includes("is given up; `webhooks redeliver`"));
  isUp = true;
  await redeliverDead(db.sql, hook);
  await letWaitsPass(db);
  await delivering("it is delivered", deliverer, nothingWaits(db, hook));
  await redeliverJob(db.sql, hook, job, null);
  await delivering("and again", deliverer, () => receiver.told.length === 12);
  expect(new Set(receiver.told.map(({ id }) => id)).size).toBe(1);
  await deliverer.stop(0);
});

test("two brokers at once: each event is sent once; a broker that stops gives back what hangs, for the other to send", async ({
  db,
  url,
}) => {
  const other = openTestDatabase(url);
  let hangs = true;
  await using receiver = await startReceiver(() => (hangs ? "hang" : 200));
  const hook = await givenWebhook(db, { url: receiver.url });
  for (let n = 0; n < 10; n++) await givenDone(db);
  const one = givenDeliverer(db, { timeoutMs: 60_000 });
  const two = givenDeliverer(other, { brokerId: "broker-2", timeoutMs: 60_000 });
  await until("all are sent", async () => {
    await Promise.all([one.once(), two.once()]);
    return receiver.told.length === 10;
  });
  expect(new Set(receiver.told.map(({ id }) => id)).size).toBe(10);
  hangs = false;
  await one.stop(0);
  expect(await deliveriesOf(db, hook)).toHaveLength(10);
  receiver.answerAll(200);
  await delivering("all are delivered", two, nothingWaits(db, hook));
  expect(new Set(receiver.told.map(({ id }) => id)).size).toBe(10);
  await two.stop(0);
  await other.close();
});

const DEATHS = {
  "when the lease is over": (db: Database) =>
    db.sql`UPDATE ai_delivery SET claimed_until = now() - interval '1 second'`,
  "when the broker is missed and its try is over": async (db: Database) => {
    await db.sql`UPDATE ai_delivery SET claimed_until = now() + interval '29 seconds'`;
    await db.sql`UPDATE ai_broker SET seen_at = now() - interval '16 seconds' WHERE broker_id = 'dead'`;
  },
  "when the broker has left and its try is over": async (db: Database) => {
    await db.sql`UPDATE ai_delivery SET claimed_until = now() + interval '29 seconds'`;
    await forgetBroker(db.sql, "dead");
  },
};

test("brokers that seem dead to each other, as after an outage of the database, leave what is under way alone", async ({
  db,
}) => {
  const hook = await givenWebhook(db, { url: "http://127.0.0.1:9" });
  await givenDone(db);
  await fannedOut(db);
  expect(await claimFor(db, "one")).toHaveLength(1);
  await db.sql`UPDATE ai_broker SET seen_at = now() - interval '1 minute'`;
  const options = { leaseMs: 60_000, slackMs: 30_000, most: 100, busy: new Map(), circuitFailures: 5, handlers: [] };
  expect(await claimDeliveries(db.sql, { brokerId: "two", ...options })).toEqual([]);
  expect(await deliveriesOf(db, hook)).toMatchObject([{ claimed_by: "one", tries: 1 }]);
});

test.for(Object.keys(DEATHS) as (keyof typeof DEATHS)[])(
  "a broker that dies between the claim and the answer: another sends the same event %s",
  async (how, { db }) => {
    await using receiver = await startReceiver((_, n) => (n === 1 ? "hang" : 200));
    const hook = await givenWebhook(db, { url: receiver.url });
    await givenDone(db);
    const dead = givenDeliverer(db, { brokerId: "dead", timeoutMs: 60_000 });
    await delivering("it is sent", dead, () => receiver.told.length === 1);
    const other = givenDeliverer(db, { brokerId: "other" });
    await other.once();
    expect(receiver.told).toHaveLength(1);
    await DEATHS[how](db);
    await delivering("another has sent it", other, nothingWaits(db, hook));
    expect(receiver.told.map(({ id }) => id)).toEqual([receiver.told[0]?.id, receiver.told[0]?.id]);
    await dead.stop(0);
    await other.stop(0);
  },
);

/** Deliveries over real HTTP: what endpoints do, and what becomes of the events. */

import { Webhook } from "standardwebhooks";
import { expect } from "vitest";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { retry } from "../../src/store/retry.ts";
import { listWebhooks } from "../../src/store/webhooks.ts";
import { newSecret } from "../../src/webhooks/sign.ts";
import { test } from "../support/db.ts";
import { done, failed, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import {
  deliveriesOf,
  delivering,
  fannedOut,
  givenDeliverer,
  givenWebhook,
  letWaitsPass,
  startReceiver,
} from "../support/webhooks.ts";

async function givenDone(db: Database, more = {}, result = '{"text": "ok"}'): Promise<string> {
  const id = await givenJob(db, more);
  await reportAll(db, done(await givenLease(db), { result }));
  return id;
}

const nothingWaits = (db: Database, hook: string) => async () => (await deliveriesOf(db, hook)).length === 0;

test("an event is posted signed, and the published library of Standard Webhooks verifies it", async ({ db }) => {
  await using receiver = await startReceiver();
  const secret = newSecret();
  const hook = await givenWebhook(db, { url: receiver.url, secret });
  const facts = { id: "job/1 ä", tenantId: "t", sourceDomain: "exams", sourceId: "7" };
  await givenDone(db, facts, '{"score": 12345678901234567890.5}');
  const deliverer = givenDeliverer(db);
  await delivering("it is delivered", deliverer, () => receiver.told.length === 1);
  await until("the row is gone", nothingWaits(db, hook));
  const [told] = receiver.told;
  expect(new Webhook(secret).verify(told!.raw, told!.headers as Record<string, string>)).toMatchObject({
    type: "job.done",
  });
  expect(() => new Webhook(newSecret()).verify(told!.raw, told!.headers as Record<string, string>)).toThrow(
    /signature/i,
  );
  expect(told?.headers).toMatchObject({ "content-type": "application/json", "user-agent": "ai-job-broker/test" });
  expect(JSON.parse(told!.raw)).toEqual({
    type: "job.done",
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    data: {
      ...{ event_id: told?.id, job_id: "job/1 ä", seq: 3, kind: "done", job_type: "ocr", status: "DONE", attempt: 1 },
      ...{ tenant_id: "t", source_domain: "exams", source_id: "7", worker_id: "w1", error: null },
      result: { score: Number("12345678901234567890.5") },
    },
  });
  expect(told?.raw).toContain('"result":{"score": 12345678901234567890.5}}}');
  expect(told?.id).toMatch(/^evt_[A-Za-z0-9_-]{27}$/);
  await deliverer.stop(0);
});

test("the signature's time is the database's, whatever this machine's clock says", async ({ db }) => {
  await using receiver = await startReceiver();
  const secret = newSecret();
  await givenWebhook(db, { url: receiver.url, secret });
  await givenDone(db);
  const deliverer = givenDeliverer(db);
  const { now } = Date;
  Date.now = () => now() + 3_600_000;
  try {
    await delivering("it is delivered", deliverer, () => receiver.told.length === 1);
  } finally {
    Date.now = now;
  }
  const [told] = receiver.told;
  expect(() => new Webhook(secret).verify(told!.raw, told!.headers as Record<string, string>)).not.toThrow();
  await deliverer.stop(0);
});

test("a result that is too large, or another life's, is pointed to", async ({ db }) => {
  await using receiver = await startReceiver();
  await givenWebhook(db, { url: receiver.url });
  await givenDone(db, { id: "large" }, `{"text": "${"x".repeat(2_000)}"}`);
  const changed = await givenJob(db, { id: "changed" });
  await reportAll(db, failed(await givenLease(db), { retryable: false }));
  await retry(db.sql, [changed]);
  const deliverer = givenDeliverer(db);
  await delivering("both are told", deliverer, () => receiver.told.length === 2);
  const byJob = Object.fromEntries(receiver.told.map(({ data }) => [data["job_id"], data]));
  const rpc = "aibroker.v1.JobService/GetJob";
  expect(byJob["large"]).toMatchObject({
    result: null,
    result_omitted: "too_large",
    result_pointer: { rpc, job_id: "large" },
  });
  expect(byJob["changed"]).toMatchObject({ status: "FAILED", error: "it broke", result_omitted: "changed" });
  await deliverer.stop(0);
});

test("500, then 200: the same event comes again, with the same id", async ({ db }) => {
  await using receiver = await startReceiver((_, n) => (n === 1 ? 500 : 200));
  const hook = await givenWebhook(db, { url: receiver.url });
  await givenDone(db);
  const deliverer = givenDeliverer(db);
  await delivering("it has failed once", deliverer, async () => (await listWebhooks(db))[0]?.failures === 1);
  const [row] = await deliveriesOf(db, hook);
  expect(row).toMatchObject({ tries: 1, last_status: 500, last_error: "it answered 500", claimed_by: null });
  const [wait] = await db.sql`SELECT next_at - now() BETWEEN '2 s' AND '6 s' AS good FROM ai_delivery`;
  expect(wait).toEqual({ good: true });
  await letWaitsPass(db);
  await delivering("it is delivered", deliverer, nothingWaits(db, hook));
  expect(receiver.told.map(({ id }) => id)).toEqual([receiver.told[0]?.id, receiver.told[0]?.id]);
  await until("its health is good", async () => (await listWebhooks(db))[0]?.failures === 0);
  await deliverer.stop(0);
});

test.for([
  ["resets the connection", "reset", null, /closed the connection/],
  ["never answers", "hang", null, /no answer within 200 ms.*WEBHOOK_TIMEOUT_MS/],
  ["redirects", { status: 302, headers: { location: "/other" } }, 302, /a redirect, and none is followed/],
  ["refuses", { status: 400, body: "x".repeat(500_000) }, 400, /it answered 400/],
] as const)("an endpoint that %s has failed, and says so in words", async ([, reply, status, words], { db }) => {
  await using receiver = await startReceiver(() => reply);
  const hook = await givenWebhook(db, { url: receiver.url });
  await givenDone(db);
  const deliverer = givenDeliverer(db, { timeoutMs: 200 });
  await delivering("it has failed", deliverer, async () => (await deliveriesOf(db, hook))[0]?.["last_error"]);
  expect((await deliveriesOf(db, hook))[0]).toMatchObject({
    last_status: status,
    last_error: expect.stringMatching(words),
  });
  await until("its health says so", async () => (await listWebhooks(db))[0]?.lastError !== null);
  expect(await listWebhooks(db)).toMatchObject([{ lastStatus: status, lastError: expect.stringMatching(words) }]);
  // Nothing was followed.
  expect(receiver.told).toHaveLength(1);
  await deliverer.stop(0);
});

test("an endpoint that is not there has failed; it gets all that it missed when it is back", async ({ db }) => {
  const gone = await startReceiver();
  await gone[Symbol.asyncDispose]();
  const hook = await givenWebhook(db, { url: gone.url });
  await givenDone(db);
  const deliverer = givenDeliverer(db);
  await delivering("it has failed", deliverer, async () => (await listWebhooks(db))[0]?.lastError !== null);
  expect((await listWebhooks(db))[0]?.lastError).toBe("nothing listens there (connection refused)");
  await using back = await startReceiver();
  await db.sql`UPDATE ai_webhook SET url = ${back.url}`;
  await letWaitsPass(db);
  await delivering("it is delivered", deliverer, nothingWaits(db, hook));
  await deliverer.stop(0);
});

test("410 ends the webhook: nothing more is sent, and what waited goes", async ({ db }) => {
  await using receiver = await startReceiver(() => 410);
  await givenWebhook(db, { url: receiver.url });
  await givenDone(db);
  const deliverer = givenDeliverer(db);
  await delivering("it is disabled", deliverer, async () => (await listWebhooks(db))[0]?.disabledAt !== null);
  expect(await listWebhooks(db)).toMatchObject([{ disabledReason: "it answered 410 (gone)" }]);
  await givenDone(db);
  await fannedOut(db);
  await letWaitsPass(db);
  await deliverer.once();
  expect(receiver.told).toHaveLength(1);
  await deliverer.stop(0);
});

test("a cancelled job is told with its state, and no result is looked for in a start", async ({ db }) => {
  await using receiver = await startReceiver();
  await givenWebhook(db, { url: receiver.url, kinds: ["dispatched", "cancelled"] });
  const job = await givenJob(db);
  await cancel(db.sql, [job], "", 0);
  const deliverer = givenDeliverer(db);
  await delivering("both are told", deliverer, () => receiver.told.length === 2);
  expect(receiver.told.map(({ data }) => [data["kind"], data["status"], data["result"]])).toEqual([
    ["dispatched", "PENDING", null],
    ["cancelled", "CANCELLED", null],
  ]);
  await deliverer.stop(0);
});

import { expect } from "vitest";
import { API_TOKEN, startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { isFlaky } from "../support/flaky-store.ts";
import { until } from "../support/until.ts";
import { givenWebhook, startReceiver } from "../support/webhooks.ts";
import { recordedMoves, refused, serviceClients } from "./service-clients.ts";

const { moves } = recordedMoves();
const OPEN = { WEBHOOK_ALLOW_PRIVATE: "true", WEBHOOK_ALLOW_HTTP: "true", WEBHOOK_POLL_MS: "20" };
const NONE = "wh_none";

test("a webhook from its making to its end: secret, test, events, health, redelivery", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, OPEN);
  await using receiver = await startReceiver();
  const { webhook, secret } = await broker.admin.createWebhook({ url: receiver.url, types: ["ocr"] });
  expect(webhook).toMatchObject({ url: receiver.url, types: ["ocr"], kinds: ["done", "failed", "cancelled"] });
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  const webhookId = webhook?.id ?? "";
  expect(webhookId).toMatch(/^wh_/);

  const tested = await broker.admin.testWebhook({ webhookId });
  expect(tested).toMatchObject({ delivered: true, status: 204, error: "", eventId: receiver.told[0]?.id });
  expect(receiver.told[0]).toMatchObject({ type: "webhook.test", data: { webhook_id: webhookId } });

  await broker.jobs.dispatch({ jobs: [{ id: "a", type: "ocr" }] });
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await until("it is told", () => receiver.told.length === 2);
  expect(receiver.told[1]).toMatchObject({ type: "job.cancelled", data: { job_id: "a", seq: 2 } });
  const health = async () => (await broker.admin.listWebhooks({})).webhooks[0];
  await until("nothing waits", async () => (await health())?.pending === 0);
  expect(await health()).toMatchObject({ dead: 0, failures: 0, lastError: "", lastDeliveredAt: expect.anything() });
  expect(JSON.stringify(await health(), (_k, v) => (typeof v === "bigint" ? String(v) : v))).not.toContain("whsec_");

  const page = await fetch(`${broker.url}/metrics`, { headers: { "x-worker-token": API_TOKEN } });
  expect(await page.text()).toContain('aibroker_webhook_tries_total{outcome="delivered"} 1');

  const again = { webhookId, events: { case: "jobId", value: "a" } } as const;
  expect(await broker.admin.redeliverWebhook(again)).toMatchObject({ count: 1 });
  await until("it is told again", () => receiver.told.length === 3);
  expect(receiver.told[2]?.id).toBe(receiver.told[1]?.id);
  expect(await broker.admin.redeliverWebhook({ ...again, seq: 1n })).toMatchObject({ count: 0 });
  expect(await broker.admin.redeliverWebhook({ webhookId, events: { case: "dead", value: true } })).toMatchObject({
    count: 0,
  });
  const since = { seconds: 0n, nanos: 0 };
  expect(await broker.admin.redeliverWebhook({ webhookId, events: { case: "since", value: since } })).toMatchObject({
    count: 1,
  });

  expect(await broker.admin.deleteWebhook({ webhookId })).toMatchObject({ deleted: true });
  expect(await broker.admin.deleteWebhook({ webhookId })).toMatchObject({ deleted: false });
  expect((await broker.admin.listWebhooks({})).webhooks).toEqual([]);
});

// A look that fails is made good by the next, which is a minute away here.
test.skipIf(isFlaky)("an event is told as soon as it is there, long before the next look", async ({ db, url }) => {
  await using receiver = await startReceiver();
  await givenWebhook(db, { url: receiver.url });
  await using broker = await startTestBroker(url, { ...OPEN, WEBHOOK_POLL_MS: "60000" });
  await broker.jobs.dispatch({ jobs: [{ id: "a", type: "ocr" }] });
  await broker.jobs.cancelJobs({ jobIds: ["a"] });
  await until("it is told", () => receiver.told.some(({ type }) => type === "job.cancelled"));
});

test("a test of an endpoint that fails says what happened", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, OPEN);
  await using receiver = await startReceiver(() => 500);
  const { webhook } = await broker.admin.createWebhook({ url: receiver.url });
  const tested = await broker.admin.testWebhook({ webhookId: webhook?.id ?? "" });
  expect(tested).toMatchObject({ delivered: false, status: 500, error: "it answered 500" });
  await broker.admin.deleteWebhook({ webhookId: webhook?.id ?? "" });
});

test("a webhook that cannot be is refused with the field and what to do", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const create = (more: object) => broker.admin.createWebhook({ url: "https://example.org/hook", ...more });
  await refused(create({ url: "" }), "url", "BAD_FIELD", /is missing/);
  await refused(create({ url: "example.org" }), "url", "BAD_FIELD", /https:\/\/example.org\/hook/);
  await refused(create({ url: "ftp://example.org" }), "url", "BAD_FIELD", /not https/);
  await refused(create({ url: "http://example.org" }), "url", "BAD_FIELD", /WEBHOOK_ALLOW_HTTP=true/);
  await refused(create({ url: "https://u:p@example.org" }), "url", "BAD_FIELD", /no user and no password/);
  await refused(create({ url: "https://example.org/#x" }), "url", "BAD_FIELD", /no fragment/);
  await refused(create({ url: "https://[::ffff:10.0.0.1]/" }), "url", "BAD_FIELD", /WEBHOOK_ALLOW_PRIVATE=true/);
  await refused(create({ url: `https://example.org/${"x".repeat(2_000)}` }), "url", "BAD_FIELD", /2000 characters/);
  await refused(create({ types: ["ocr", ""] }), "types[1]", "BAD_FIELD");
  await refused(create({ types: Array(101).fill("ocr") }), "types", "BAD_FIELD", /at most 100/);
  await refused(create({ kinds: ["done", "finished"] }), "kinds[1]", "BAD_FIELD", /one of dispatched, started/);
  for (const secret of ["x", "whsec_", "whsec_c2hvcnQ=", `whsec_${Buffer.alloc(65).toString("base64")}`]) {
    await refused(create({ secret }), "secret", "BAD_FIELD", /24 to 64 bytes/);
  }
  const secret = `whsec_${Buffer.alloc(24, 1).toString("base64")}`;
  expect(await create({ secret })).toMatchObject({ secret });
});

test("a call about a webhook that there is not, or about no events, is refused", async ({ db }) => {
  const webhooks = {
    urlFault: () => undefined,
    test: () => expect.fail("sent"),
    newSecret: () => "",
    isSecret: () => true,
  };
  const { admin } = serviceClients({ moves, db, webhooks });
  const dead = { case: "dead", value: true } as const;
  await refused(admin.testWebhook({ webhookId: "x" }), "webhook_id", "BAD_FIELD", /begins with wh_/);
  await refused(admin.deleteWebhook({ webhookId: "handler:grade" }), "webhook_id", "BAD_FIELD");
  const unknown = /no webhook has the id "wh_none"/;
  await expect(admin.testWebhook({ webhookId: NONE })).rejects.toThrow(unknown);
  await expect(admin.redeliverWebhook({ webhookId: NONE, events: dead })).rejects.toThrow(unknown);
  const redeliver = (more: object) => admin.redeliverWebhook({ webhookId: NONE, ...more });
  await refused(redeliver({}), "events", "BAD_FIELD", /give dead, job_id or since/);
  await refused(redeliver({ events: dead, seq: 1n }), "seq", "BAD_FIELD", /goes with job_id/);
  await refused(redeliver({ events: { case: "dead", value: false } }), "dead", "BAD_FIELD");
  await refused(redeliver({ events: { case: "jobId", value: "" } }), "job_id", "BAD_FIELD");
  await refused(redeliver({ events: { case: "jobId", value: "a" }, seq: -1n }), "seq", "BAD_FIELD");
});

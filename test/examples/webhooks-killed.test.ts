/** Brokers as their users start them, one of them killed in the middle of a delivery. */
import { expect } from "vitest";
import { startCli } from "../cli/run-cli.ts";
import { addressOf } from "../cli/with-broker.ts";
import { test } from "../support/db.ts";
import { done, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { deliveriesOf, givenWebhook, startReceiver } from "../support/webhooks.ts";

test("a broker is killed between the commit and the answer: the next one delivers the same event, once", async ({
  db,
  url,
}) => {
  await using receiver = await startReceiver((_, n) => (n === 1 ? "hang" : 200));
  const env = { DATABASE_URL: url, PORT: "0", WEBHOOK_ALLOW_PRIVATE: "true", WEBHOOK_ALLOW_HTTP: "true" };
  const first = startCli(["serve"], { env });
  await addressOf(first);
  const hook = await givenWebhook(db, { url: receiver.url });
  await givenJob(db);
  await reportAll(db, done(await givenLease(db)));
  await until("it is sent", () => receiver.told.length === 1, 20_000);
  first.child.kill("SIGKILL");
  await first.done;
  const second = startCli(["serve"], { env });
  await addressOf(second);
  const [row] = await deliveriesOf(db, hook);
  expect(row).toMatchObject({ tries: 1, dead_at: null, claimed_by: expect.any(String) });
  await db.sql`UPDATE ai_delivery SET claimed_until = now() - interval '1 second'`;
  await until("it is delivered", async () => (await deliveriesOf(db, hook)).length === 0, 20_000);
  expect(receiver.told.map(({ id }) => id)).toEqual([receiver.told[0]?.id, receiver.told[0]?.id]);
  second.child.kill("SIGTERM");
  expect((await second.done).code).toBe(0);
}, 60_000);

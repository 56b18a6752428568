/** client.watch against a broker that does as it is told: errors, cursors, addresses, and the ends of it all. */
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { type BrokerError, createClient, type Watch } from "../../src/client/index.ts";
import type { JobEventKind } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { fakeBroker } from "./fake-broker.ts";
import { refusal, watchesOf, words } from "./fake-watch.ts";

const next = async (watch: Watch) => words((await watch.next()).value ?? undefined);
const filter = { types: ["ocr"] };

test("it is told why and for how long, and waits no less than the broker asks for", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const retries: [string | undefined, number][] = [];
  const onRetry = ({ reason }: BrokerError, waitMs: number) => retries.push([reason, waitMs]);
  const watch = client.watch(filter, { onRetry });
  const told = (async () => [await next(watch), await next(watch)])();
  (await watches.take()).state([], "c1").end(refusal(Code.ResourceExhausted, "SLOW_READER", 300));
  const since = performance.now();
  const second = await watches.take();
  expect(performance.now() - since).toBeGreaterThan(250);
  expect(second.request.cursor).toBe("c1");
  second.changes(["a/1"], "c2");
  expect(await told).toEqual(["state  @c1", "a/1 @c2"]);
  expect(retries).toEqual([["SLOW_READER", expect.any(Number)]]);
  expect(retries[0]?.[1]).toBeGreaterThanOrEqual(300);
});

test("what onRetry throws ends the watch: a way to give up", async () => {
  const broker = await fakeBroker();
  await broker.stop();
  await using client = createClient({ url: broker.url, token: "t" });
  const onRetry = (error: BrokerError) => {
    throw error;
  };
  await expect(client.watch(filter, { onRetry }).next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a cursor that has expired is followed by the state of now, which says so once", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const watch = client.watch(filter, { cursor: "old" });
  const told = (async () => [await next(watch), await next(watch)])();
  const first = await watches.take();
  expect(first.request.cursor).toBe("old");
  first.end(refusal(Code.FailedPrecondition, "CURSOR_EXPIRED"));
  const second = await watches.take();
  expect(second.request).toMatchObject({ cursor: "", changesOnly: false });
  second.state(["a"], "c1").heartbeat("c2");
  expect(await told).toEqual(["state after a gap a @c1", "heartbeat @c2"]);
});

test("without a state the first update says so, and a broker that has no cursor of ours is believed once only", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const watch = client.watch(filter, { cursor: "old", changesOnly: true });
  const first = next(watch);
  (await watches.take()).end(refusal(Code.FailedPrecondition, "CURSOR_EXPIRED"));
  const fake = await watches.take();
  expect(fake.request).toMatchObject({ cursor: "", changesOnly: true });
  fake.heartbeat("c1");
  expect(await first).toBe("heartbeat after a gap @c1");
  const odd = client.watch(filter).next();
  (await watches.take()).end(refusal(Code.FailedPrecondition, "CURSOR_EXPIRED"));
  await expect(odd).rejects.toMatchObject({ reason: "CURSOR_EXPIRED" });
});

test.each([
  [Code.InvalidArgument, "BAD_FIELD"],
  [Code.Unauthenticated, "BAD_TOKEN"],
  [Code.Internal, "INTERNAL"],
])("an error that stays (%i, %s) is thrown, once", async (code, reason) => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const watch = client.watch(filter);
  const first = watch.next();
  (await watches.take()).end(refusal(code, reason));
  await expect(first).rejects.toMatchObject({ name: "BrokerError", reason });
  expect((await watch.next()).done).toBe(true);
});

test("it moves on to another broker with its cursor when one goes away", async () => {
  await using one = await fakeBroker();
  await using two = await fakeBroker();
  const watches = watchesOf(one, two);
  await using client = createClient({ url: [one.url, two.url], token: "t" });
  const watch = client.watch(filter);
  const begun = next(watch);
  const first = (await watches.take()).state(["a"], "c1");
  expect(await begun).toBe("state a @c1");
  const more = next(watch);
  await first.broker.stop();
  const second = await watches.take();
  expect(second.broker).not.toBe(first.broker);
  expect(second.request.cursor).toBe("c1");
  second.changes(["a/3"], "c2");
  expect(await more).toBe("a/3 @c2");
});

test("a frame that only a newer broker knows moves the cursor on", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const watch = client.watch(filter);
  const told = (async () => [await next(watch), await next(watch)])();
  const fake = (await watches.take()).state([], "c1");
  fake.sent.put({ cursor: "c2" });
  expect(await told).toEqual(["state  @c1", "heartbeat @c2"]);
  fake.changes(["a/1"], "c3", 99 as JobEventKind);
  expect((await watch.next()).value).toMatchObject({ changes: [{ kind: "UNKNOWN" }] });
});

test("a client that is closed ends its watches, those that wait for a broker as well", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  const client = createClient({ url: broker.url, token: "t" });
  const waiting = client.watch(filter).next();
  (await watches.take()).end(refusal(Code.Unavailable, "DATABASE_DOWN", 60_000));
  const reading = client.watch(filter).next();
  await watches.take();
  client.close();
  for (const update of [waiting, reading, client.watch(filter).next()]) {
    await expect(update).rejects.toMatchObject({ name: "BrokerError", message: "the client was closed" });
  }
});

test("nothing is opened before the first update is asked for, nor with a signal that was aborted before", async () => {
  await using broker = await fakeBroker();
  const watches = watchesOf(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  await client.watch(filter).return();
  expect((await client.watch(filter, { signal: AbortSignal.abort() }).next()).done).toBe(true);
  broker.jobs.getJob = () => {
    throw new ConnectError("none", Code.NotFound);
  };
  await client.get("a").catch(() => undefined);
  expect(watches.waiting).toEqual([]);
});

/** The thread of the heartbeats, seen from the worker. */
import { randomUUID } from "node:crypto";
import { BroadcastChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import type { Order } from "../../src/client/heartbeats.ts";
import { KeepAlive, type KeepAliveOptions } from "../../src/client/keep-alive.ts";
import { until } from "../support/until.ts";
import { fakeBroker } from "./fake-broker.ts";

function given(url: string, more: Partial<KeepAliveOptions> = {}) {
  const lines: string[] = [];
  const judged: string[] = [];
  const write = (_: object, words = "") => void lines.push(words);
  const keepAlive = new KeepAlive({
    caller: { url, token: "t", transport: "grpc-js" },
    workerId: "w",
    maxBlockMs: undefined,
    logger: { debug: write, info: write, warn: write, error: write },
    judged: (leaseToken, verdict) => void judged.push(`${leaseToken} ${verdict}`),
    ...more,
  });
  return { keepAlive, lines, judged };
}

const lease = { jobId: "a", leaseToken: "lease-a" };

const named = (...names: string[]) => names.map((name) => ({ jobId: name, leaseToken: `lease-${name}` }));

/** In place of the thread: one that says what it is told. `next` takes that without a turn of the event loop. */
function echo(): { thread: URL; next: () => Order } {
  const name = randomUUID();
  const channel = new BroadcastChannel(name);
  onTestFinished(() => channel.close());
  const text = `
    import { BroadcastChannel, parentPort } from "node:worker_threads";
    const channel = new BroadcastChannel("${name}");
    parentPort.on("message", (order) => channel.postMessage(order));
    parentPort.postMessage({ kind: "ready" });`;
  const next = () => {
    for (const since = performance.now(); performance.now() - since < 5_000; ) {
      // It takes a channel as well, which its type does not say.
      const heard = receiveMessageOnPort(channel as unknown as MessagePort);
      if (heard !== undefined) return heard.message as Order;
    }
    throw new Error("the thread was told nothing");
  };
  return { thread: new URL(`data:text/javascript,${encodeURIComponent(text)}`), next };
}

test("what is told before the thread is up is not lost", async () => {
  await using broker = await fakeBroker();
  broker.worker.heartbeat = ({ leases }) => ({ leases: leases.map(({ jobId }) => ({ jobId, verdict: 3 })) });
  const { keepAlive, judged } = given(broker.url);
  keepAlive.pace(20);
  keepAlive.hold(lease);
  await keepAlive.start();
  await until("the verdict is here", () => judged.includes("lease-a LOST"));
  keepAlive.stop();
});

test("where there is no file for a thread, heartbeats are sent all the same, and the log says what is lacking", async () => {
  await using broker = await fakeBroker();
  const { keepAlive, lines } = given(broker.url, { thread: new URL("./no-such-thread.js", import.meta.url) });
  keepAlive.pace(20);
  keepAlive.hold(lease);
  await keepAlive.start();
  expect(await broker.heartbeats.take()).toEqual(["lease-a"]);
  expect(lines).toContain("no heartbeat thread: leases of handlers that hold the event loop for long will be lost");
  keepAlive.stop();
});

test("a broker that takes no heartbeats is told of once, and its return as well", async () => {
  const before = await fakeBroker();
  await before.stop();
  const { keepAlive, lines } = given(before.url);
  keepAlive.pace(40);
  keepAlive.hold(lease);
  await keepAlive.start();
  await until("it is told", () => lines.some((line) => line.startsWith("heartbeats do not get through")));
  await using after = await fakeBroker(Number(new URL(before.url).port));
  expect(await after.heartbeats.take()).toEqual(["lease-a"]);
  await until("its end is told", () => lines.includes("heartbeats get through again"));
  expect(lines).toHaveLength(2);
  keepAlive.stop();
});

test("leases that come and go within one turn are one message, which a handler cannot hold back", async () => {
  const { thread, next } = echo();
  const { keepAlive } = given("http://127.0.0.1:1", { thread });
  await keepAlive.start();
  const [a, b, c, d] = named("a", "b", "c", "d") as [typeof lease, typeof lease, typeof lease, typeof lease];
  for (const each of [a, b, c]) keepAlive.hold(each);
  keepAlive.drop(b);
  // As a handler would that is started now: from here on the event loop does not go round.
  await Promise.resolve();
  expect(next()).toEqual({ kind: "leases", held: [a, b, c], dropped: ["lease-b"] });

  keepAlive.drop(a);
  keepAlive.hold(d);
  await Promise.resolve();
  expect(next()).toEqual({ kind: "leases", held: [d], dropped: ["lease-a"] });

  keepAlive.pace(20);
  expect(next()).toEqual({ kind: "pace", intervalMs: 20 });
  keepAlive.stop();
});

test("news of a job's progress comes behind its lease", async () => {
  const { thread, next } = echo();
  const { keepAlive } = given("http://127.0.0.1:1", { thread });
  await keepAlive.start();
  const news = { percent: 5, note: "" };
  keepAlive.hold(lease);
  keepAlive.progress(lease, news);
  keepAlive.progress({ jobId: "b", leaseToken: "never held" }, news);
  expect(next()).toEqual({ kind: "leases", held: [lease], dropped: [] });
  expect(next()).toEqual({ kind: "progress", leaseToken: "lease-a", news });

  // Nothing is left of the turn that would be told again.
  await Promise.resolve();
  keepAlive.drop(lease);
  await Promise.resolve();
  expect(next()).toEqual({ kind: "leases", held: [], dropped: ["lease-a"] });
  keepAlive.stop();
});

test("many leases that come in one turn are all heartbeated, and those that go with them or later are not", async () => {
  await using broker = await fakeBroker();
  const { keepAlive } = given(broker.url);
  keepAlive.pace(20);
  await keepAlive.start();
  const leases = named(...Array.from({ length: 300 }, (_, n) => String(n)));
  for (const each of leases) keepAlive.hold(each);
  for (const each of leases.slice(0, 100)) keepAlive.drop(each);
  const tokens = leases.map(({ leaseToken }) => leaseToken);
  expect(await broker.heartbeats.take()).toEqual(tokens.slice(100));
  for (const each of leases.slice(100, 299)) keepAlive.drop(each);
  const last = await until("the others are let go", async () => {
    const beat = await broker.heartbeats.take();
    return beat.length < 200 && beat;
  });
  expect(last).toEqual(["lease-299"]);
  keepAlive.stop();
});

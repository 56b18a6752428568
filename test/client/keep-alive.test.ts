/** The thread of the heartbeats, seen from the worker. */
import { expect, test } from "vitest";
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

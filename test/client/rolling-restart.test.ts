/** Two brokers, stopped and started one after the other under load. */
import { expect } from "vitest";
import { createClient, createWorker } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";

test("a rolling restart loses nothing and repeats nothing", async ({ db: _, url }) => {
  const brokers = [await startTestBroker(url), await startTestBroker(url)];
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    for (const broker of brokers) await broker.stop();
  });
  const ports = brokers.map(({ port }) => String(port));
  const urls = brokers.map((broker) => broker.url);
  const runs = new Map<string, number>();
  const workers = (["grpc-js", "connect"] as const).map((transport) => {
    const worker = createWorker({
      url: urls,
      token: WORKER_TOKEN,
      transport,
      signals: false,
      types: {
        mine: {
          concurrency: 8,
          handler: async (job) => {
            runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
            await new Promise((resolve) => setImmediate(resolve));
            return { id: job.id };
          },
        },
      },
    });
    const stop = new AbortController();
    return { stop, running: worker.run({ signal: stop.signal }) };
  });
  await using client = createClient({ url: urls, token: API_TOKEN, timeoutMs: 30_000 });
  const ids: string[] = [];
  const dispatch = async (count: number) => {
    for (let at = 0; at < count; at += 10) {
      const batch = Array.from({ length: 10 }, () => ({ type: "mine", payload: {} }));
      ids.push(...(await client.dispatchMany(batch)).map(({ jobId }) => jobId));
    }
  };
  for (const [index, broker] of brokers.entries()) {
    await dispatch(60);
    const more = dispatch(90);
    await broker.stop();
    brokers[index] = await startTestBroker(url, { PORT: ports[index] ?? "0" });
    await more;
  }
  await until("all are done", () => ids.every((id) => runs.has(id)), 30_000);
  for (const { stop, running } of workers) {
    stop.abort();
    await running;
  }
  const odd: unknown[] = [];
  for (const id of ids) {
    const job = await client.get(id);
    if (job?.status !== "DONE" || job.attempts !== 1) odd.push(job);
  }
  expect(odd).toEqual([]);
  expect([...runs.values()].filter((count) => count !== 1)).toEqual([]);
}, 60_000);
